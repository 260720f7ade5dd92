/* Loaded into a process ahead of libc (LD_PRELOAD): a disk that is full, a wall clock that jumps.
 *
 * SHIM_FULL_FLAG  while this file exists, files below the folder named in it do not grow: ENOSPC.
 *                 What a file has already can be overwritten, as on a real disk.
 * SHIM_CLOCK      a file of eight bytes, a little-endian count of seconds by which the wall clock is off.
 *                 The monotonic clocks stay as they are, as they do when somebody sets the clock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *full_flag;
static volatile const int64_t *clock_offset_s;

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    /* A copy: PostgreSQL writes its process titles over the environment. */
    const char *flag = getenv("SHIM_FULL_FLAG");
    full_flag = flag ? strdup(flag) : NULL;
    const char *clock_file = getenv("SHIM_CLOCK");
    if (clock_file) {
        int fd = open(clock_file, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            void *there = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
            if (there != MAP_FAILED) clock_offset_s = there;
            close(fd);
        }
    }
}

/* ── the full disk ────────────────────────────────────────────────────────────────────────────────── */

static int is_full_for(int fd)
{
    char folder[4096], link[64], path[4096];
    if (!full_flag) return 0;
    int flag = open(full_flag, O_RDONLY | O_CLOEXEC);
    if (flag < 0) return 0;
    ssize_t length = read(flag, folder, sizeof folder - 1);
    close(flag);
    if (length <= 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t found = readlink(link, path, sizeof path - 1);
    return found >= length && memcmp(path, folder, (size_t)length) == 0;
}

static int would_grow(int fd, off_t end)
{
    int before = errno;
    struct stat now;
    int grows = is_full_for(fd) && fstat(fd, &now) == 0 && S_ISREG(now.st_mode) && end > now.st_size;
    errno = before;
    return grows;
}

static off_t total(const struct iovec *parts, int count)
{
    off_t sum = 0;
    for (int n = 0; n < count; n++) sum += (off_t)parts[n].iov_len;
    return sum;
}

#define REFUSE_IF(grows) \
    if (full_flag && (grows)) { errno = ENOSPC; return -1; }

ssize_t write(int fd, const void *bytes, size_t count)
{
    NEXT(write);
    REFUSE_IF(would_grow(fd, lseek(fd, 0, SEEK_CUR) + (off_t)count));
    return next(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    NEXT(pwrite);
    REFUSE_IF(would_grow(fd, offset + (off_t)count));
    return next(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return pwrite(fd, bytes, count, (off_t)offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    NEXT(writev);
    REFUSE_IF(would_grow(fd, lseek(fd, 0, SEEK_CUR) + total(parts, count)));
    return next(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    NEXT(pwritev);
    REFUSE_IF(would_grow(fd, offset + total(parts, count)));
    return next(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return pwritev(fd, parts, count, (off_t)offset);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    NEXT(posix_fallocate);
    if (full_flag && would_grow(fd, offset + length)) return ENOSPC;
    return next(fd, offset, length);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    return posix_fallocate(fd, (off_t)offset, (off_t)length);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    NEXT(fallocate);
    REFUSE_IF(would_grow(fd, offset + length));
    return next(fd, mode, offset, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    return fallocate(fd, mode, (off_t)offset, (off_t)length);
}

/* ── the clock ────────────────────────────────────────────────────────────────────────────────────── */

int clock_gettime(clockid_t which, struct timespec *told)
{
    NEXT(clock_gettime);
    int answer = next(which, told);
    if (answer == 0 && clock_offset_s && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        told->tv_sec += (time_t)*clock_offset_s;
    return answer;
}

int gettimeofday(struct timeval *restrict told, void *restrict zone)
{
    NEXT(gettimeofday);
    int answer = next(told, zone);
    if (answer == 0 && clock_offset_s) told->tv_sec += (time_t)*clock_offset_s;
    return answer;
}

time_t time(time_t *told)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}
