"""The write path: find the checkpoints that lack a measure, have them computed, store each as it comes."""
