/* A library that looks like an ONNX Runtime from before the interface in use, for tests/old_library.rs. */
struct api_base {
    const void *(*get_api)(unsigned version);
    const char *(*version)(void);
};

static const void *get_api(unsigned version) {
    (void)version;
    return 0;
}

static const char *version(void) { return "1.16.3"; }

static const struct api_base base = {get_api, version};

const struct api_base *OrtGetApiBase(void) { return &base; }
