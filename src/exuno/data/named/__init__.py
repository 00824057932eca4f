"""Published data sets by name: ``benchmarks`` lists them, ``packed`` finds them, the rest read them."""
