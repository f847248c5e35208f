/* Records what a process does to the files of one directory, in the order in which the system did it.
 *
 * Loaded before the C library (LD_PRELOAD). POWER_DIR names the directory, POWER_TRACE the file that the trace is
 * appended to. A record: kind (1 byte), length of the name (2), length of the data (4), offset (8), name, data, all in
 * the machine's own byte order. Kinds: 'C' opened for writing, 'W' written, 'T' cut to the length in the offset, 'S' synced,
 * 'D' the directory itself synced, 'U' unlinked. The mutex makes the order of the trace that of the calls; a
 * sync is recorded when it has ended, so that what is written meanwhile does not count as synced.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_FILES = 1024, LONGEST_NAME = 256 };

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static char names[MOST_FILES][LONGEST_NAME];
static const char *directory;
static size_t directory_length;
static int trace = -1;

static void prepare(void) {
    const char *path = getenv("POWER_TRACE");
    directory = getenv("POWER_DIR");
    if (!path || !directory) return;
    directory_length = strlen(directory);
    trace = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The name below the directory; "." for the directory itself; NULL: none of ours. */
static const char *ours(const char *path) {
    pthread_once(&prepared, prepare);
    if (trace < 0 || strncmp(path, directory, directory_length) != 0) return NULL;
    if (path[directory_length] == '\0') return ".";
    return path[directory_length] == '/' ? path + directory_length + 1 : NULL;
}

static const char *name_of(int file) {
    return file >= 0 && file < MOST_FILES && names[file][0] ? names[file] : NULL;
}

static void record(char kind, const char *name, uint64_t offset, const void *data, uint32_t length) {
    char head[15];
    uint16_t name_length = (uint16_t)strlen(name);
    head[0] = kind;
    memcpy(head + 1, &name_length, 2);
    memcpy(head + 3, &length, 4);
    memcpy(head + 7, &offset, 8);
    struct iovec parts[3] = {{head, sizeof head}, {(void *)name, name_length}, {(void *)data, length}};
    syscall(SYS_writev, trace, parts, 3);
}

static int opened(int at, const char *path, int flags, mode_t mode) {
    pthread_mutex_lock(&order);
    int file = syscall(SYS_openat, at, path, flags, mode);
    if (file >= 0 && file < MOST_FILES) {
        const char *name = ours(path);
        names[file][0] = '\0';
        if (name && strlen(name) < LONGEST_NAME) {
            strcpy(names[file], name);
            if ((flags & O_ACCMODE) != O_RDONLY) record('C', name, 0, NULL, 0);
            if (flags & O_TRUNC) record('T', name, 0, NULL, 0);
        }
    }
    pthread_mutex_unlock(&order);
    return file;
}

#define MODE(last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, last); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }
int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }

int close(int file) {
    pthread_mutex_lock(&order);
    if (file >= 0 && file < MOST_FILES) names[file][0] = '\0';
    int result = syscall(SYS_close, file);
    pthread_mutex_unlock(&order);
    return result;
}

ssize_t write(int file, const void *data, size_t length) {
    pthread_mutex_lock(&order);
    const char *name = name_of(file);
    off_t offset = 0;
    if (name) {
        int appends = syscall(SYS_fcntl, file, F_GETFL) & O_APPEND;
        offset = syscall(SYS_lseek, file, 0, appends ? SEEK_END : SEEK_CUR);
    }
    ssize_t written = syscall(SYS_write, file, data, length);
    if (name && written > 0) record('W', name, offset, data, written);
    pthread_mutex_unlock(&order);
    return written;
}

ssize_t pwrite64(int file, const void *data, size_t length, off64_t offset) {
    pthread_mutex_lock(&order);
    const char *name = name_of(file);
    ssize_t written = syscall(SYS_pwrite64, file, data, length, offset);
    if (name && written > 0) record('W', name, offset, data, written);
    pthread_mutex_unlock(&order);
    return written;
}
ssize_t pwrite(int file, const void *data, size_t length, off_t offset) { return pwrite64(file, data, length, offset); }

int ftruncate64(int file, off64_t length) {
    pthread_mutex_lock(&order);
    int result = syscall(SYS_ftruncate, file, length);
    if (result == 0 && name_of(file)) record('T', names[file], length, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}
int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

/* What is not recorded must not be used: callers fall back to writing. */
int fallocate64(int file, int mode, off64_t offset, off64_t length) {
    if (name_of(file)) { errno = EOPNOTSUPP; return -1; }
    return syscall(SYS_fallocate, file, mode, offset, length);
}
int fallocate(int file, int mode, off_t offset, off_t length) { return fallocate64(file, mode, offset, length); }
int posix_fallocate64(int file, off64_t offset, off64_t length) { return fallocate64(file, 0, offset, length) ? errno : 0; }
int posix_fallocate(int file, off_t offset, off_t length) { return posix_fallocate64(file, offset, length); }

static int synced(int file, long call) {
    int result = syscall(call, file);
    pthread_mutex_lock(&order);
    const char *name = name_of(file);
    if (result == 0 && name) record(strcmp(name, ".") == 0 ? 'D' : 'S', name, 0, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}
int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }

int unlink(const char *path) {
    pthread_mutex_lock(&order);
    int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    const char *name = ours(path);
    if (result == 0 && name) record('U', name, 0, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}
