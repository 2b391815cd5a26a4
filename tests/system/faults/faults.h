/* What the two halves of the preloaded library share: `faults.c` decides, `unsynced.c` remembers. */

#ifndef CATENA_FAULTS_H
#define CATENA_FAULTS_H

#include <stdint.h>
#include <sys/types.h>

/* Where what must be kept for a power cut is put aside: a folder on the same disk as the data. */
void unsynced_begin(const char *folder);

/* What is about to be done. Each is forgotten when the file, or for names the folder, is synced. */
void unsynced_write(int fd, const char *path, off_t at, const void *bytes, size_t length);
void unsynced_truncate(int fd, const char *path, off_t length);
void unsynced_create(const char *path);
void unsynced_rename(const char *from, const char *to);
void unsynced_unlink(const char *path);

/* What `fd` names is on the disk now. */
void unsynced_forget(int fd, const char *path);

/* Takes back what no sync has made durable: all of it, or with a seed a part of it, as a disk that lost its power might
   have written some of it and some of it half. */
void unsynced_lose(uint64_t seed);

#endif
