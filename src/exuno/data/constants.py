"""Statistics and names that files of weights and images do not carry."""

Stats = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, for pixels in [0, 1]."""

IMAGENET: Stats = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR: Stats = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR100: Stats = ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
"""As RepDistiller takes them."""
VIDEO: Stats = ((0.45,) * 3, (0.225,) * 3)
"""As published code for Kinetics takes them."""
CIFAR_FEWSHOT: Stats = (
    (129.37731888 / 255, 124.10583864 / 255, 112.47758569 / 255),
    (68.20947949 / 255, 65.43124043 / 255, 70.45866994 / 255),
)
"""Of CIFAR-FS and FC100, as published code takes them."""
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a gray value (ITU-R BT.601)."""
PICTURES: tuple[str, ...] = (
    ".jpg",
    ".jpeg",
    ".jfif",
    ".jpe",
    ".jif",
    ".mpo",
    ".png",
    ".apng",
    ".webp",
    ".bmp",
    ".dib",
    ".tif",
    ".tiff",
    ".gif",
    ".avif",
    ".jp2",
    ".j2k",
    ".j2c",
    ".jpc",
    ".jpf",
    ".jpx",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".pfm",
    ".tga",
    ".pcx",
    ".ras",
    ".sgi",
    ".qoi",
    ".psd",
)
"""Suffixes of files that are taken for pictures, in lower case."""
