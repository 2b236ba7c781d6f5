"""Results in the tools that people watch a training with: event files of TensorBoard, runs of MLflow."""
