/* A disk that fails, to be loaded before the C library (LD_PRELOAD): one call that changes files below a directory, or
 * one that reads them, counted from the moment that failing_arm() names, fails with an error number, or only half of it
 * is done. Python, DuckDB, Polars and Arrow all write through these functions; what is mapped is read without them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FILES 65536
#define SHORT -1

static char below[4096];
static size_t below_length;
static atomic_long calls;
static long failing_call = -1;
static int failing_error, failing_on, failing_reads;
static char last_failed[64];
static atomic_char ours[MOST_FILES], read_by_us[MOST_FILES];

/* Count calls on files below `directory` from now on, those that write or, with `reads`, those that read; let call number
 * `call` (from 1) fail with `error`, or be short, and with `on` all later ones too, as on a full disk. */
void failing_arm(const char *directory, long call, int error, int on, int reads) {
    snprintf(below, sizeof below, "%s/", directory);
    failing_call = call, failing_error = error, failing_on = on, failing_reads = reads;
    last_failed[0] = 0;
    atomic_store(&calls, 0);
    below_length = strlen(below);
}

long failing_calls(void) { return atomic_load(&calls); }
const char *failing_last(void) { return last_failed; }

static int is_below(const char *path) { return below_length && path && !strncmp(path, below, below_length); }
static int is_ours(int file) { return below_length && file >= 0 && file < MOST_FILES && ours[file]; }

/* The error of this call; 0: none. */
static int verdict(const char *what, int reads) {
    if (reads != failing_reads) return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (failing_call < 0 || number < failing_call || (number > failing_call && !failing_on)) return 0;
    if (number == failing_call) snprintf(last_failed, sizeof last_failed, "%s", what);
    return failing_error;
}

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })
#define FAIL_IF(condition, what) do { int error_; \
    if ((condition) && (error_ = verdict(what, 0)) && error_ != SHORT) { errno = error_; return -1; } } while (0)
/* Of a short call half is done, which every caller has to expect. */
#define WRITE(condition, what, bytes) do { int error_; \
    if ((condition) && (error_ = verdict(what, 0))) { \
        if (error_ != SHORT) { errno = error_; return -1; } \
        if (bytes > 1) bytes /= 2; } } while (0)

#define READ(file) do { int error_; \
    if (file >= 0 && file < MOST_FILES && read_by_us[file] && (error_ = verdict("read", 1))) { \
        errno = error_; return -1; } } while (0)

static int opened(int file, const char *path, int flags) {
    if (file >= 0 && file < MOST_FILES) {
        ours[file] = is_below(path) && (flags & (O_WRONLY | O_RDWR)) != 0;
        read_by_us[file] = is_below(path) && (flags & O_ACCMODE) != O_WRONLY && !(flags & O_DIRECTORY);
    }
    return file;
}

#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); \
    FAIL_IF(is_below(path) && (flags & (O_WRONLY | O_RDWR)), "open"); \
    return opened(REAL(name)(path, flags, mode), path, flags); }
OPEN(open)
OPEN(open64)

#define OPENAT(name) int name(int directory, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); \
    FAIL_IF(is_below(path) && (flags & (O_WRONLY | O_RDWR)), "open"); \
    return opened(REAL(name)(directory, path, flags, mode), path, flags); }
OPENAT(openat)
OPENAT(openat64)

int close(int file) {
    if (file >= 0 && file < MOST_FILES) ours[file] = read_by_us[file] = 0;
    return REAL(close)(file);
}

ssize_t read(int file, void *bytes, size_t size) { READ(file); return REAL(read)(file, bytes, size); }
ssize_t readv(int file, const struct iovec *parts, int count) { READ(file); return REAL(readv)(file, parts, count); }
ssize_t pread(int file, void *bytes, size_t size, off_t at) { READ(file); return REAL(pread)(file, bytes, size, at); }
ssize_t pread64(int file, void *bytes, size_t size, off64_t at) { READ(file); return REAL(pread64)(file, bytes, size, at); }

ssize_t write(int file, const void *bytes, size_t size) {
    WRITE(is_ours(file), "write", size);
    return REAL(write)(file, bytes, size);
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) {
    WRITE(is_ours(file), "pwrite", size);
    return REAL(pwrite)(file, bytes, size, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    WRITE(is_ours(file), "pwrite", size);
    return REAL(pwrite64)(file, bytes, size, at);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    FAIL_IF(is_ours(file), "writev");
    return REAL(writev)(file, parts, count);
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) {
    WRITE(is_ours(to), "sendfile", size);
    return REAL(sendfile)(to, from, at, size);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    WRITE(is_ours(to), "sendfile", size);
    return REAL(sendfile64)(to, from, at, size);
}
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags) {
    WRITE(is_ours(to), "copy_file_range", size);
    return REAL(copy_file_range)(from, at, to, there, size, flags);
}
int fsync(int file) { FAIL_IF(is_ours(file), "fsync"); return REAL(fsync)(file); }
int fdatasync(int file) { FAIL_IF(is_ours(file), "fsync"); return REAL(fdatasync)(file); }
int ftruncate(int file, off_t size) { FAIL_IF(is_ours(file), "ftruncate"); return REAL(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { FAIL_IF(is_ours(file), "ftruncate"); return REAL(ftruncate64)(file, size); }
int rename(const char *from, const char *to) { FAIL_IF(is_below(to), "rename"); return REAL(rename)(from, to); }
int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    FAIL_IF(is_below(to), "rename");
    return REAL(renameat)(from_directory, from, to_directory, to);
}
int mkdir(const char *path, mode_t mode) { FAIL_IF(is_below(path), "mkdir"); return REAL(mkdir)(path, mode); }
