// A clock that a process cannot trust: CLOCK_REALTIME stands, or is far ahead. Preloaded into the program.
// CLOCK_STANDS: seconds since 1970 at which it stands. CLOCK_AHEAD: seconds by which it is ahead.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    if (done != 0 || clock != CLOCK_REALTIME)
        return done;
    const char *stands = getenv("CLOCK_STANDS"), *ahead = getenv("CLOCK_AHEAD");
    if (stands) {
        now->tv_sec = atol(stands);
        now->tv_nsec = 0;
    } else if (ahead) {
        now->tv_sec += atol(ahead);
    }
    return 0;
}
