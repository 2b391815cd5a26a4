/* A library that is not ONNX Runtime, for tests/old_library.rs. */
int unrelated(void) { return 0; }
