/* A wall clock that is wrong: TORTURE_CLOCK=FILE holds how many milliseconds it is ahead of the true one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    const char *path = getenv("TORTURE_CLOCK");
    if (result != 0 || path == NULL || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
    int before = errno, file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        char text[32] = {0};
        if (syscall(SYS_read, file, text, sizeof text - 1) > 0) {
            long long ahead = atoll(text), nanoseconds = now->tv_nsec + ahead % 1000 * 1000000;
            now->tv_sec += ahead / 1000;
            if (nanoseconds < 0) { nanoseconds += 1000000000; now->tv_sec -= 1; }
            if (nanoseconds >= 1000000000) { nanoseconds -= 1000000000; now->tv_sec += 1; }
            now->tv_nsec = nanoseconds;
        }
        syscall(SYS_close, file);
    }
    errno = before;
    return result;
}
