/* A disk that can lose power: logs what a process does to the files of one directory.
 *
 * Preloaded, it appends one record per write, truncation, sync, creation and removal below
 * $POWERCUT_WATCH to $POWERCUT_LOG. powercut.py reads the log after a SIGKILL and builds the disk
 * as it might look after a power cut: synced bytes, and of the others what chance left. While the file
 * $POWERCUT_SYNC_FAILS exists, every sync fails with an I/O error and makes nothing durable.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 4096
#define NAME 128

struct record {
    char kind; /* W write, T truncate, S sync of a file, C create, U unlink, D sync of the directory */
    char name[NAME];
    int64_t offset;
    int64_t size;
} __attribute__((packed));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char names[MAX_FD][NAME]; /* empty: not watched; "." : the directory itself */
static int log_fd = -1;
static const char *watch;
static const char *sync_fails;
static size_t watch_size;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int real_open(const char *path, int flags, mode_t mode) {
    REAL(int, "open", const char *, int, ...);
    return real(path, flags, mode);
}

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("POWERCUT_LOG");
    watch = getenv("POWERCUT_WATCH");
    sync_fails = getenv("POWERCUT_SYNC_FAILS");
    if (!watch || !log) return;
    watch_size = strlen(watch);
    log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        perror("powercut: log");
        abort();
    }
}

static const char *watched(const char *path) {
    if (log_fd < 0 || strncmp(path, watch, watch_size) != 0) return NULL;
    if (path[watch_size] == '\0') return ".";
    if (path[watch_size] != '/' || strchr(path + watch_size + 1, '/')) return NULL;
    return path + watch_size + 1;
}

static const char *name_of(int fd) {
    return fd >= 0 && fd < MAX_FD && names[fd][0] ? names[fd] : NULL;
}

static void note(char kind, const char *name, int64_t offset, int64_t size, const void *data) {
    struct record record = {.kind = kind, .offset = offset, .size = size};
    strncpy(record.name, name, NAME - 1);
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)data, data ? (size_t)size : 0}};
    pthread_mutex_lock(&lock);
    ssize_t written = writev(log_fd, parts, 2);
    pthread_mutex_unlock(&lock);
    if (written != (ssize_t)(parts[0].iov_len + parts[1].iov_len)) {
        perror("powercut: log write");
        abort(); /* a torn log would prove nothing */
    }
}

static int opened(const char *path, int flags, mode_t mode) {
    const char *name = watched(path);
    int creates = name && (flags & O_CREAT) && access(path, F_OK) != 0;
    int fd = real_open(path, flags, mode);
    if (fd >= 0 && fd < MAX_FD) {
        names[fd][0] = '\0';
        if (name) {
            strncpy(names[fd], name, NAME - 1);
            if (creates) note('C', name, 0, 0, NULL);
            else if (flags & O_TRUNC) note('T', name, 0, 0, NULL);
        }
    }
    return fd;
}

#define OPEN_BODY \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { OPEN_BODY return opened(path, flags, mode); }
int open64(const char *path, int flags, ...) { OPEN_BODY return opened(path, flags | O_LARGEFILE, mode); }

int openat(int at, const char *path, int flags, ...) {
    OPEN_BODY
    if (at == AT_FDCWD || path[0] == '/') return opened(path, flags, mode);
    REAL(int, "openat", int, const char *, int, ...);
    return real(at, path, flags, mode);
}

int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < MAX_FD && fd != log_fd) names[fd][0] = '\0';
    return real(fd);
}

#define PWRITE(function) \
    ssize_t function(int fd, const void *data, size_t size, off_t offset) { \
        REAL(ssize_t, #function, int, const void *, size_t, off_t); \
        ssize_t written = real(fd, data, size, offset); \
        const char *name = name_of(fd); \
        if (name && written > 0) note('W', name, offset, written, data); \
        return written; \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    ssize_t written = real(fd, data, size);
    const char *name = name_of(fd);
    if (name && written > 0) note('W', name, lseek(fd, 0, SEEK_CUR) - written, written, data);
    return written;
}

#define TRUNCATE(function) \
    int function(int fd, off_t size) { \
        REAL(int, #function, int, off_t); \
        int result = real(fd, size); \
        const char *name = name_of(fd); \
        if (name && result == 0) note('T', name, size, 0, NULL); \
        return result; \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(function) \
    int function(int fd) { \
        REAL(int, #function, int); \
        const char *name = name_of(fd); \
        if (name && sync_fails && access(sync_fails, F_OK) == 0) { \
            errno = EIO; \
            return -1; \
        } \
        int result = real(fd); \
        if (name && result == 0) note(name[0] == '.' && !name[1] ? 'D' : 'S', name, 0, 0, NULL); \
        return result; \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    int result = real(path);
    const char *name = watched(path);
    if (name && result == 0) note('U', name, 0, 0, NULL);
    return result;
}

int rename(const char *from, const char *to) {
    if (watched(from) || watched(to)) {
        fputs("powercut: rename is not modelled\n", stderr);
        abort();
    }
    REAL(int, "rename", const char *, const char *);
    return real(from, to);
}
