/* A disk that fails when it is told to. Preloaded into the program under test, which knows nothing of it.

   FAULTS_FOLDER is a folder. Its file `rules` has one rule a line:

       CALLS PATTERN NTH ACTION [SEED]

   CALLS is `*` or some of write, sync, truncate, create, rename, unlink, mkdir with commas between; PATTERN is a shell
   pattern over the path below FAULTS_ROOT, for `rename` the new one; NTH counts the calls that match, from 1, since
   the file was written. The file is read again whenever it is another one, so rules come and go while the program runs.

       trace          notes every such call in the file `trace`
       kill-before    the process is killed instead of the call
       kill-after     the process is killed when the call is done
       torn           half of a write is done, then the process is killed
       power-before   as `kill-before`, and what was not synced is lost; with a SEED only a part of it
       power-after    the same after the call
       full           the disk is full from this call on: whatever needs room finds none
       eio            this one call fails
       lie            this call and all later ones say that they are done, and do nothing */

#define _GNU_SOURCE
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define RULES_MAX 8

struct rule {
    char calls[128], pattern[256], action[32];
    unsigned long nth, seen;
    uint64_t seed;
};

/* What becomes of one call. */
struct verdict {
    int error, lies, torn;
    const struct rule *dies_after;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[RULES_MAX];
static int rules_count, is_full;
static struct stat rules_read;
static char folder[PATH_MAX], root[PATH_MAX];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *in = getenv("FAULTS_FOLDER"), *below = getenv("FAULTS_ROOT");
    if (!in || !below) return;
    snprintf(folder, sizeof folder, "%s", in);
    snprintf(root, sizeof root, "%s", below);
    unsynced_begin(folder);
}

static void read_rules(void) {
    char path[PATH_MAX + 8], text[4096] = "";
    struct stat now;
    snprintf(path, sizeof path, "%s/rules", folder);
    if (stat(path, &now) != 0) {
        rules_count = is_full = 0;
        memset(&rules_read, 0, sizeof rules_read);
        return;
    }
    if (now.st_ino == rules_read.st_ino && now.st_mtim.tv_nsec == rules_read.st_mtim.tv_nsec &&
        now.st_mtim.tv_sec == rules_read.st_mtim.tv_sec)
        return;
    rules_read = now;
    rules_count = is_full = 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return;
    if (read(fd, text, sizeof text - 1) < 0) text[0] = 0;
    close(fd);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line && rules_count < RULES_MAX; line = strtok_r(NULL, "\n", &rest)) {
        struct rule rule = {0};
        unsigned long long seed = 0;
        if (sscanf(line, "%127s %255s %lu %31s %llu", rule.calls, rule.pattern, &rule.nth, rule.action, &seed) < 4) {
            static const char complaint[] = "faults: a rule cannot be read\n";
            syscall(SYS_write, 2, complaint, sizeof complaint - 1);
            abort();
        }
        rule.seed = seed;
        rules[rules_count++] = rule;
    }
}

static int names(const char *calls, const char *call) {
    size_t length = strlen(call);
    for (const char *at = calls; (at = strstr(at, call)); at += length) {
        if ((at == calls || at[-1] == ',') && (at[length] == 0 || at[length] == ',')) return 1;
    }
    return calls[0] == '*';
}

static void trace(const char *call, const char *path) {
    char line[PATH_MAX + 32], to[PATH_MAX + 8];
    int length = snprintf(line, sizeof line, "%s %s\n", call, path);
    snprintf(to, sizeof to, "%s/trace", folder);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) syscall(SYS_write, fd, line, length);
    if (fd >= 0) close(fd);
}

__attribute__((noreturn)) static void die(const struct rule *rule) {
    if (rule->action[0] == 'p') unsynced_lose(rule->seed);
    for (;;) kill(getpid(), SIGKILL);
}

static struct verdict decide(const char *call, const char *path) {
    struct verdict verdict = {0};
    const char *below = path + strlen(root) + (path[strlen(root)] == '/');
    if (!*below) below = ".";
    read_rules();
    for (struct rule *rule = rules; rule < rules + rules_count; rule++) {
        if (!names(rule->calls, call) || fnmatch(rule->pattern, below, 0) != 0) continue;
        const char *action = rule->action;
        unsigned long seen = ++rule->seen;
        if (!strcmp(action, "trace")) trace(call, below);
        if (!strcmp(action, "full") && seen >= rule->nth) is_full = 1;
        if (!strcmp(action, "lie") && seen >= rule->nth) verdict.lies = 1;
        if (seen != rule->nth) continue;
        if (!strcmp(action, "eio")) verdict.error = EIO;
        if (!strcmp(action, "torn")) verdict.torn = 1;
        if (strstr(action, "-before")) die(rule);
        if (strstr(action, "-after") || verdict.torn) verdict.dies_after = rule;
    }
    if (is_full && names("write,create,mkdir", call)) verdict.error = ENOSPC;
    return verdict;
}

/* Whether the path lies below the root. */
static int is_inside(const char *path) {
    size_t length = strlen(root);
    return length && strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* The path of an open file, if it is one of ours. The files of SQLite's shared memory are made anew at every start. */
static int file_inside(int fd, char *path) {
    char link[48];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_inside(path) && fnmatch("*-shm", path, 0) != 0;
}

static int name_inside(int at, const char *name, char *path) {
    if (!root[0]) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        if (at == AT_FDCWD || !file_inside(at, path)) return 0;
        size_t length = strlen(path);
        snprintf(path + length, PATH_MAX - length, "/%s", name);
    }
    return is_inside(path) && fnmatch("*-shm", path, 0) != 0;
}

/* The end of every call below the root: killed if that was decided, else the caller gets what the call gave. */
static long done(const struct verdict *verdict, long result) {
    int error = errno;
    if (verdict->dies_after) die(verdict->dies_after);
    pthread_mutex_unlock(&turn);
    errno = error;
    return result;
}

static long refused(const struct verdict *verdict) {
    errno = verdict->error;
    return done(verdict, -1);
}

/* A write at a place, or where the file stands if `at` is negative. */
static ssize_t put(int fd, const char *path, const void *bytes, size_t length, off_t at) {
    pthread_mutex_lock(&turn);
    struct verdict verdict = decide("write", path);
    if (verdict.error) return refused(&verdict);
    if (verdict.lies) {
        if (at < 0) lseek(fd, (off_t)length, SEEK_CUR);
        return done(&verdict, (long)length);
    }
    if (verdict.torn) length /= 2;
    struct stat file;
    off_t place = at;
    if (at < 0) place = (fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &file) == 0 ? file.st_size : lseek(fd, 0, SEEK_CUR);
    unsynced_write(fd, path, place, bytes, length);
    return done(&verdict, at < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, at));
}

/* The same of several pieces. */
static ssize_t put_all(int fd, const char *path, const struct iovec *pieces, int count, off_t at) {
    size_t length = 0;
    for (int i = 0; i < count; i++) length += pieces[i].iov_len;
    char *whole = malloc(length ? length : 1), *end = whole;
    for (int i = 0; i < count; i++) end = (char *)mempcpy(end, pieces[i].iov_base, pieces[i].iov_len);
    ssize_t result = put(fd, path, whole, length, at);
    int error = errno;
    free(whole);
    errno = error;
    return result;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    char path[PATH_MAX];
    return file_inside(fd, path) ? put(fd, path, bytes, length, -1) : syscall(SYS_write, fd, bytes, length);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
    char path[PATH_MAX];
    return file_inside(fd, path) ? put(fd, path, bytes, length, at) : syscall(SYS_pwrite64, fd, bytes, length, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    char path[PATH_MAX];
    return file_inside(fd, path) ? put_all(fd, path, pieces, count, -1) : REAL(writev)(fd, pieces, count);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off_t at) {
    char path[PATH_MAX];
    return file_inside(fd, path) ? put_all(fd, path, pieces, count, at) : REAL(pwritev64)(fd, pieces, count, at);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at) { return pwritev64(fd, pieces, count, at); }

static int sync_by(long number, int fd) {
    char path[PATH_MAX];
    if (!file_inside(fd, path)) return (int)syscall(number, fd);
    pthread_mutex_lock(&turn);
    struct verdict verdict = decide("sync", path);
    if (verdict.error) return (int)refused(&verdict);
    if (verdict.lies) return (int)done(&verdict, 0);
    long result = syscall(number, fd);
    if (result == 0) unsynced_forget(fd, path);
    return (int)done(&verdict, result);
}

int fsync(int fd) { return sync_by(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }

int ftruncate64(int fd, off_t length) {
    char path[PATH_MAX];
    if (!file_inside(fd, path)) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&turn);
    struct verdict verdict = decide("truncate", path);
    if (verdict.error) return (int)refused(&verdict);
    if (verdict.lies) return (int)done(&verdict, 0);
    unsynced_truncate(fd, path, length);
    return (int)done(&verdict, syscall(SYS_ftruncate, fd, length));
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int open_by(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat known;
    if (!(flags & O_CREAT) || !name_inside(at, name, path) || fstatat(at, name, &known, 0) == 0) {
        return (int)syscall(SYS_openat, at, name, flags, mode);
    }
    pthread_mutex_lock(&turn);
    struct verdict verdict = decide("create", path);
    if (verdict.error) return (int)refused(&verdict);
    long fd = syscall(SYS_openat, at, name, flags, mode);
    if (fd >= 0) unsynced_create(path);
    return (int)done(&verdict, fd);
}

#define MODE_OF(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *name, int flags, ...) { MODE_OF(flags) return open_by(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE_OF(flags) return open_by(AT_FDCWD, name, flags, mode); }
int openat(int at, const char *name, int flags, ...) { MODE_OF(flags) return open_by(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE_OF(flags) return open_by(at, name, flags, mode); }

int rename(const char *from, const char *to) {
    char old[PATH_MAX], path[PATH_MAX];
    if (!name_inside(AT_FDCWD, from, old) || !name_inside(AT_FDCWD, to, path)) {
        return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    }
    pthread_mutex_lock(&turn);
    struct verdict verdict = decide("rename", path);
    if (verdict.error) return (int)refused(&verdict);
    if (verdict.lies) return (int)done(&verdict, 0);
    unsynced_rename(old, path);
    return (int)done(&verdict, syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int unlinkat(int at, const char *name, int flags) {
    char path[PATH_MAX];
    if (!name_inside(at, name, path)) return (int)syscall(SYS_unlinkat, at, name, flags);
    pthread_mutex_lock(&turn);
    struct verdict verdict = decide("unlink", path);
    if (verdict.error) return (int)refused(&verdict);
    if (verdict.lies) return (int)done(&verdict, 0);
    if (!(flags & AT_REMOVEDIR)) unsynced_unlink(path);
    return (int)done(&verdict, syscall(SYS_unlinkat, at, name, flags));
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdir(const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!name_inside(AT_FDCWD, name, path)) return (int)syscall(SYS_mkdirat, AT_FDCWD, name, mode);
    pthread_mutex_lock(&turn);
    struct verdict verdict = decide("mkdir", path);
    if (verdict.error) return (int)refused(&verdict);
    return (int)done(&verdict, syscall(SYS_mkdirat, AT_FDCWD, name, mode));
}
