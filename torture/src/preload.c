/* Faults that strace cannot make, in the process that is started with this library in LD_PRELOAD.
 *
 *   TORTURE_NO_SYNC=1     nothing is synced, and every sync says that it was: the control of power loss
 *   TORTURE_BELOW=PREFIX  short writes: of files whose path begins so,
 *   TORTURE_ARM=FILE      once FILE is there. It holds "N MODE": the N-th write from then on takes half of its bytes; with
 *                         MODE 1 the next write to that file says that the disk is full.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long seen;
static atomic_int full = -1;

/* Whether syncs are left out. */
static int no_sync(void) { return getenv("TORTURE_NO_SYNC") != NULL; }

int fsync(int fd) { return no_sync() ? 0 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return no_sync() ? 0 : (int)syscall(SYS_fdatasync, fd); }
int syncfs(int fd) { return no_sync() ? 0 : (int)syscall(SYS_syncfs, fd); }
int sync_file_range(int fd, off_t offset, off_t bytes, unsigned int flags) {
    return no_sync() ? 0 : (int)syscall(SYS_sync_file_range, fd, offset, bytes, flags);
}

/* How many of `count` bytes a write to `fd` takes; -1: none, the disk is full. */
static ssize_t take(int fd, size_t count) {
    const char *below = getenv("TORTURE_BELOW"), *arm = getenv("TORTURE_ARM");
    if (below == NULL || arm == NULL) return (ssize_t)count;
    int before = errno;
    ssize_t taken = (ssize_t)count;
    if (atomic_load(&full) == fd) {
        atomic_store(&full, -1);
        return -1;
    }
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0) {
        path[length] = 0;
        FILE *file = strncmp(path, below, strlen(below)) == 0 ? fopen(arm, "r") : NULL;
        long nth = 0;
        int mode = 0;
        if (file != NULL) {
            if (fscanf(file, "%ld %d", &nth, &mode) == 2 && atomic_fetch_add(&seen, 1) + 1 == nth && count > 1) {
                taken = (ssize_t)(count / 2);
                if (mode == 1) atomic_store(&full, fd);
                /* That it came. */
                char done[PATH_MAX];
                snprintf(done, sizeof done, "%s.done", arm);
                FILE *mark = fopen(done, "w");
                if (mark != NULL) fclose(mark);
            }
            fclose(file);
        }
    }
    errno = before;
    return taken;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t taken = take(fd, count);
    if (taken < 0) { errno = ENOSPC; return -1; }
    return syscall(SYS_write, fd, bytes, (size_t)taken);
}

static ssize_t at(int fd, const void *bytes, size_t count, off_t offset) {
    ssize_t taken = take(fd, count);
    if (taken < 0) { errno = ENOSPC; return -1; }
    return syscall(SYS_pwrite64, fd, bytes, (size_t)taken, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return at(fd, bytes, count, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) { return at(fd, bytes, count, offset); }
