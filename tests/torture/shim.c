/* Makes the disk fail below a process: preload it, and the SHIM_AT-th call of a kind on a matching file fails.
 *
 *   SHIM_CALL   fsync | write | read        which calls are counted
 *   SHIM_PATH   part of the path of the files that count
 *   SHIM_AT     from which call on (1 = the first)
 *   SHIM_TIMES  how many calls fail
 *   SHIM_ERRNO  the errno, or 0 for a short write of half the bytes
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long at, times, failure, calls;
static const char *call, *part;

__attribute__((constructor)) static void setup(void) {
    call = getenv("SHIM_CALL");
    part = getenv("SHIM_PATH");
    at = getenv("SHIM_AT") ? atol(getenv("SHIM_AT")) : 0;
    times = getenv("SHIM_TIMES") ? atol(getenv("SHIM_TIMES")) : 1;
    failure = getenv("SHIM_ERRNO") ? atol(getenv("SHIM_ERRNO")) : EIO;
}

static int matches(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, part) != NULL;
}

static int fails(const char *kind, int fd) {
    if (!call || !part || !at || strcmp(kind, call) || !matches(fd)) return 0;
    long n = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    return n >= at && n < at + times;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

int fsync(int fd) {
    REAL(fsync);
    if (fails("fsync", fd)) { errno = failure; return -1; }
    return real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    if (fails("fsync", fd)) { errno = failure; return -1; }
    return real(fd);
}

static ssize_t half(size_t count) { return (ssize_t)(count / 2); }

ssize_t write(int fd, const void *data, size_t count) {
    REAL(write);
    if (!fails("write", fd)) return real(fd, data, count);
    if (!failure) return real(fd, data, (size_t)half(count));
    errno = failure;
    return -1;
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) {
    REAL(pwrite);
    if (!fails("write", fd)) return real(fd, data, count, offset);
    if (!failure) return real(fd, data, (size_t)half(count), offset);
    errno = failure;
    return -1;
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset) {
    REAL(pwrite64);
    if (!fails("write", fd)) return real(fd, data, count, offset);
    if (!failure) return real(fd, data, (size_t)half(count), offset);
    errno = failure;
    return -1;
}

ssize_t pread(int fd, void *data, size_t count, off_t offset) {
    REAL(pread);
    if (fails("read", fd)) { errno = failure ? failure : EIO; return -1; }
    return real(fd, data, count, offset);
}

ssize_t pread64(int fd, void *data, size_t count, off64_t offset) {
    REAL(pread64);
    if (fails("read", fd)) { errno = failure ? failure : EIO; return -1; }
    return real(fd, data, count, offset);
}
