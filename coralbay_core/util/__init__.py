"""Helpers without knowledge of CT: files written atomically, tensors in files, JSON values, memory."""
