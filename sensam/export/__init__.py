"""A trained model for other programs: ONNX, torch.export, a hub folder, STAC, and its encoder as a feature pyramid."""
