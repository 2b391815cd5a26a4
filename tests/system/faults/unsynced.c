/* What was written and not yet synced, so that a power cut can take it back.

   A killed process loses nothing that it has written, for the system still has it. A machine without power loses
   whatever was not synced. So every change below the data folder is noted with what was there before, and forgotten when
   the file is synced, or for names the folder that they stand in. Does not know: what is written through a memory map. */

#define _GNU_SOURCE
#include "faults.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The functions of this library are the ones that programs call, so its own way to the disk is the system's. */
#define sys_write(fd, bytes, length, at) syscall(SYS_pwrite64, fd, bytes, length, at)
#define sys_truncate(fd, length) syscall(SYS_ftruncate, fd, length)
#define sys_open(path, flags) ((int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600))
#define sys_rename(from, to) syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0)

enum kind { WRITE, TRUNCATE, CREATE, RENAME, UNLINK };

struct change {
    struct change *older, *newer;
    enum kind kind;
    ino_t file;
    char *path;  /* for RENAME the new name */
    char *from;  /* for RENAME the old name */
    char *aside; /* what the name stood for before, or where it is put meanwhile */
    int had_target;
    off_t at, size;
    char *before, *after;
    size_t before_length, after_length;
};

static struct change *oldest, *newest;
static char folder[PATH_MAX];
static unsigned asides;

void unsynced_begin(const char *in) { snprintf(folder, sizeof folder, "%s", in); }

static struct change *noted(enum kind kind, const char *path) {
    struct change *change = calloc(1, sizeof *change);
    change->kind = kind;
    change->path = strdup(path);
    change->older = newest;
    if (newest) newest->newer = change; else oldest = change;
    newest = change;
    return change;
}

static void forget(struct change *change) {
    if (change->older) change->older->newer = change->newer; else oldest = change->newer;
    if (change->newer) change->newer->older = change->older; else newest = change->older;
    if (change->aside) unlink(change->aside);
    free(change->path);
    free(change->from);
    free(change->aside);
    free(change->before);
    free(change->after);
    free(change);
}

static char *a_place(void) {
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/aside-%d-%u", folder, (int)getpid(), asides++);
    return strdup(path);
}

/* The bytes from `at` on, as they are. */
static char *bytes_of(const char *path, off_t at, size_t length) {
    char *bytes = malloc(length ? length : 1);
    int fd = sys_open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, bytes, length, at) != (ssize_t)length) memset(bytes, 0, length);
    if (fd >= 0) close(fd);
    return bytes;
}

static struct change *of_file(enum kind kind, int fd, const char *path) {
    struct stat file;
    if (fstat(fd, &file) != 0) memset(&file, 0, sizeof file);
    struct change *change = noted(kind, path);
    change->file = file.st_ino;
    change->size = file.st_size;
    return change;
}

void unsynced_write(int fd, const char *path, off_t at, const void *bytes, size_t length) {
    struct change *change = of_file(WRITE, fd, path);
    off_t end = at + (off_t)length;
    change->at = at;
    if (change->size > at) {
        change->before_length = (size_t)((end < change->size ? end : change->size) - at);
        change->before = bytes_of(path, at, change->before_length);
    }
    change->after_length = length;
    change->after = malloc(length ? length : 1);
    memcpy(change->after, bytes, length);
}

void unsynced_truncate(int fd, const char *path, off_t length) {
    struct change *change = of_file(TRUNCATE, fd, path);
    change->at = length;
    if (change->size > length) {
        change->before_length = (size_t)(change->size - length);
        change->before = bytes_of(path, length, change->before_length);
    }
}

void unsynced_create(const char *path) { noted(CREATE, path)->aside = a_place(); }

void unsynced_rename(const char *from, const char *to) {
    struct change *change = noted(RENAME, to);
    change->from = strdup(from);
    change->aside = a_place();
    change->had_target = link(to, change->aside) == 0;
}

void unsynced_unlink(const char *path) {
    struct stat file;
    struct change *change = noted(UNLINK, path);
    change->file = stat(path, &file) == 0 ? file.st_ino : 0;
    change->aside = a_place();
    if (link(path, change->aside) != 0) forget(change);
}

/* A rename is for good now, so older notes about what had the old name are about what has the new one. */
static void follow(const struct change *renamed) {
    size_t length = strlen(renamed->from);
    for (struct change *change = renamed->older; change; change = change->older) {
        const char *rest = change->path + length;
        if (strncmp(change->path, renamed->from, length) != 0 || (*rest && *rest != '/')) continue;
        char path[2 * PATH_MAX];
        snprintf(path, sizeof path, "%s%s", renamed->path, rest);
        free(change->path);
        change->path = strdup(path);
    }
}

static int stands_in(const char *path, const char *parent) {
    const char *slash = strrchr(path, '/');
    size_t length = strlen(parent);
    return slash && (size_t)(slash - path) == length && strncmp(path, parent, length) == 0;
}

static void forget_bytes(ino_t file) {
    for (struct change *change = oldest, *next; change; change = next) {
        next = change->newer;
        if (change->file == file && (change->kind == WRITE || change->kind == TRUNCATE)) forget(change);
    }
}

void unsynced_forget(int fd, const char *path) {
    struct stat synced;
    if (fstat(fd, &synced) != 0) return;
    for (struct change *change = oldest, *next; change; change = next) {
        next = change->newer;
        int is_name = change->kind != WRITE && change->kind != TRUNCATE;
        if (is_name ? !S_ISDIR(synced.st_mode) || !stands_in(change->path, path) : change->file != synced.st_ino) continue;
        if (change->kind == RENAME) follow(change);
        if (change->kind == UNLINK) forget_bytes(change->file);
        next = change->newer;
        forget(change);
    }
}

static void take_back(const struct change *change) {
    if (change->kind == CREATE) {
        sys_rename(change->path, change->aside);
    } else if (change->kind == UNLINK) {
        sys_rename(change->aside, change->path);
    } else if (change->kind == RENAME) {
        sys_rename(change->path, change->from);
        if (change->had_target) sys_rename(change->aside, change->path);
    } else {
        int fd = sys_open(change->path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) return;
        if (change->before_length) sys_write(fd, change->before, change->before_length, change->at);
        sys_truncate(fd, change->size);
        close(fd);
    }
}

static void do_again(const struct change *change, int whole) {
    if (change->kind == CREATE) {
        sys_rename(change->aside, change->path);
    } else if (change->kind == UNLINK) {
        sys_rename(change->path, change->aside);
    } else if (change->kind == RENAME) {
        if (change->had_target) sys_rename(change->path, change->aside);
        sys_rename(change->from, change->path);
    } else {
        int fd = sys_open(change->path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) return;
        if (change->kind == TRUNCATE) sys_truncate(fd, change->at);
        else sys_write(fd, change->after, whole ? change->after_length : change->after_length / 2, change->at);
        close(fd);
    }
}

void unsynced_lose(uint64_t seed) {
    for (struct change *change = newest; change; change = change->older) take_back(change);
    if (seed == 0) return;
    for (struct change *change = oldest; change; change = change->newer) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned chance = (unsigned)(seed >> 40) % 8;
        /* Names reach the disk in their order, bytes in any. */
        if (change->kind != WRITE && change->kind != TRUNCATE && chance < 2) return;
        if (chance < 4) do_again(change, chance != 0);
    }
}
