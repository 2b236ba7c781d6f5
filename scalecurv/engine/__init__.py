"""The engines that analyse checkpoints: a for loop or a Ray cluster. No package below this one knows which one runs."""
