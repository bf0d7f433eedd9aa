/*
 * The first part of the one-file bundle, cutoutd-linux-x86_64: unpacks what is appended to it, once, and starts it.
 *
 * The file is this program, a tar archive compressed with zstd, and a trailer that says where the archive begins and what it
 * is called: the SHA-256 of its bytes. It is unpacked to $XDG_CACHE_HOME/cutoutd/SHA-256, or below ~/.cache, which nobody but
 * the user may be able to change: every directory on the way is looked at, and links below are not followed. A directory
 * under its name is whole, since it gets that name last; its list of files tells whether something was taken out of it later.
 *
 * The same program without an archive lies in the cache as bin/python. It starts the interpreter beside it by the loader and
 * the C library that came with it, so neither Python nor any version of a C library is asked of the system. Python starts
 * its other processes by that name, and isolated (-I): nothing of the user's own Python is seen, and it writes nothing there (-B).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#ifndef INTERPRETER
#define INTERPRETER "python3.11"
#endif
#ifndef LOADER
#define LOADER "ld-linux-x86-64.so.2"
#endif

enum { WRONG_USE = 2, OTHERS_WRITE = 022, BLOCK = 512, KEY = 64, PIECE = 1 << 17 };

struct trailer {
    char magic[8];
    char key[KEY + 8]; /* and NULs */
    uint64_t start, size;
};
static const char MAGIC[8] = {'C', 'U', 'T', 'O', 'U', 'T', 'D', '1'};
static const char LIST[] = "MANIFEST"; /* of each file: its size, a space, its path */

static char self[PATH_MAX];

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("cutoutd: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(WRONG_USE);
}

static bool ours(const struct stat *is) { return is->st_uid == geteuid() && !(is->st_mode & OTHERS_WRITE); }

/* ---- the cache ------------------------------------------------------------------------------------------------------- */

/* Nobody else may be able to put another directory in place of one on the way: each is the user's or root's, and others can
 * write in it at most as in /tmp, where they cannot rename what is not theirs. `path` is without links. */
static void check_way(const char *path) {
    char part[PATH_MAX];
    for (size_t end = 1; end <= strlen(path); end++) {
        if (path[end] != '/' && path[end] != '\0' && end > 1) continue;
        snprintf(part, sizeof part, "%.*s", (int)end, path);
        struct stat is;
        if (lstat(part, &is) != 0) die("%s: %s", part, strerror(errno));
        if (is.st_uid != 0 && is.st_uid != geteuid())
            die("%s belongs to another user, who could change what is unpacked below it; set XDG_CACHE_HOME to a directory of "
                "yours", part);
        if ((is.st_mode & OTHERS_WRITE) && !(is.st_mode & S_ISVTX))
            die("others may write in %s, and could change what is unpacked below it: chmod go-w '%s', or set XDG_CACHE_HOME to "
                "a directory of yours", part, part);
    }
}

/* The cache's directory, open, and its path without links; made if need be. */
static int open_cache(char path[PATH_MAX]) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char parent[PATH_MAX];
    int length = cache && cache[0] == '/' ? snprintf(parent, sizeof parent, "%s", cache)
                 : home && home[0] == '/' ? snprintf(parent, sizeof parent, "%s/.cache", home)
                                          : -1;
    if (length < 0) die("HOME is not set: name a directory to unpack to, in XDG_CACHE_HOME");
    if (length >= PATH_MAX - 256) die("the path of the cache is too long");
    if (mkdir(parent, 0700) != 0 && errno != EEXIST) die("%s cannot be made: %s; set XDG_CACHE_HOME to another place", parent, strerror(errno));
    char real[PATH_MAX];
    if (!realpath(parent, real)) die("%s: %s", parent, strerror(errno));
    check_way(real);
    if (snprintf(path, PATH_MAX, "%s/cutoutd", real) >= PATH_MAX) die("the path of the cache is too long");
    if (mkdir(path, 0700) != 0 && errno != EEXIST) die("%s cannot be made: %s; set XDG_CACHE_HOME to another place", path, strerror(errno));
    int cached = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat is;
    if (cached < 0 || fstat(cached, &is) != 0) die("%s is no directory: %s", path, strerror(errno));
    if (!ours(&is)) die("%s is another user's, or others may write in it: remove it, or set XDG_CACHE_HOME to another place", path);
    return cached;
}

/* Remove a file, or a directory with all that is in it, without following a link. */
static void remove_tree(int at, const char *name) {
    if (unlinkat(at, name, 0) == 0 || (errno != EISDIR && errno != EPERM)) return;
    int inside = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *listed = inside < 0 ? NULL : fdopendir(inside);
    for (struct dirent *one; listed && (one = readdir(listed));)
        if (strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0) remove_tree(inside, one->d_name);
    if (listed) closedir(listed);
    unlinkat(at, name, AT_REMOVEDIR);
}

/* Whether every file of its list is there, in its size, and the user's. */
static bool whole(int entry) {
    int list = openat(entry, LIST, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    FILE *lines = list < 0 ? NULL : fdopen(list, "r");
    if (!lines) return false;
    bool found = false;
    unsigned long long size;
    char path[PATH_MAX];
    struct stat is;
    int fields;
    while ((fields = fscanf(lines, "%llu %4000[^\n]", &size, path)) == 2) {
        found = fstatat(entry, path, &is, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(is.st_mode) && ours(&is) &&
                (unsigned long long)is.st_size == size;
        if (!found) break;
    }
    fclose(lines);
    return found && fields == EOF;
}

/* The unpacked archive, open and locked against removal; -1: it is not there, or not whole. */
static int open_entry(int cached, const char *key) {
    int entry = openat(cached, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat is;
    if (entry < 0) return -1;
    if (flock(entry, LOCK_SH) == 0 && fstat(entry, &is) == 0 && ours(&is) && whole(entry)) return entry;
    close(entry);
    return -1;
}

/* Remove what earlier versions left, but for those that run: each of them holds a lock on its own. */
static void remove_others(int cached, const char *key) {
    int again = openat(cached, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listed = again < 0 ? NULL : fdopendir(again);
    for (struct dirent *one; listed && (one = readdir(listed));) {
        bool unpacked = strlen(one->d_name) == KEY && strspn(one->d_name, "0123456789abcdef") == KEY;
        bool broken_off = strncmp(one->d_name, "new-", 4) == 0;
        if ((!unpacked && !broken_off) || strcmp(one->d_name, key) == 0) continue;
        int entry = openat(cached, one->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (entry >= 0 && flock(entry, LOCK_EX | LOCK_NB) == 0) remove_tree(cached, one->d_name);
        if (entry >= 0) close(entry);
    }
    if (listed) closedir(listed);
}

/* ---- the archive ----------------------------------------------------------------------------------------------------- */

struct archive {
    int file, cached;
    const char *draft; /* the directory that is written */
    uint64_t left;     /* of the compressed bytes */
    ZSTD_DStream *decoder;
    ZSTD_inBuffer in;
    size_t pending; /* 0: the decoder has ended a frame, and its checksum was right */
    char *piece;
};

__attribute__((noreturn)) static void give_up(struct archive *from, const char *what, const char *why) {
    remove_tree(from->cached, from->draft);
    die("%s: %s", what, why);
}

/* Up to `size` bytes of the archive; fewer at its end alone. */
static size_t take(struct archive *from, char *to, size_t size) {
    ZSTD_outBuffer out = {to, size, 0};
    while (out.pos < size && (from->pending != 0 || from->left > 0)) {
        if (from->in.pos == from->in.size && from->left > 0) {
            ssize_t got = read(from->file, from->piece, from->left < PIECE ? from->left : PIECE);
            if (got <= 0) give_up(from, self, got < 0 ? strerror(errno) : "the file ends too early; get it again");
            from->in = (ZSTD_inBuffer){from->piece, (size_t)got, 0};
            from->left -= (uint64_t)got;
        }
        size_t before = out.pos, used = from->in.pos;
        from->pending = ZSTD_decompressStream(from->decoder, &out, &from->in);
        if (ZSTD_isError(from->pending)) give_up(from, self, "the file is damaged; get it again");
        if (out.pos == before && from->in.pos == used) break;
    }
    return out.pos;
}

static void take_all(struct archive *from, char *to, size_t size) {
    if (take(from, to, size) != size) give_up(from, self, "the file is damaged; get it again");
}

/* A path of the archive's: ours alone make them, and a mistake there shall not write elsewhere. */
static bool inside(const char *path) {
    if (path[0] == '/' || path[0] == '\0') return false;
    for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) return false;
    return true;
}

static void write_file(struct archive *from, int at, const char *path, uint64_t size, bool runs) {
    static char data[PIECE];
    int out = openat(at, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, runs ? 0700 : 0600);
    if (out < 0) give_up(from, path, strerror(errno));
    for (uint64_t left = size; left > 0;) {
        size_t count = left < PIECE ? (size_t)left : PIECE;
        take_all(from, data, count);
        for (size_t done = 0; done < count;) {
            ssize_t put = write(out, data + done, count - done);
            if (put < 0 && errno == EINTR) continue;
            if (put <= 0) give_up(from, path, put < 0 ? strerror(errno) : "nothing could be written");
            done += (size_t)put;
        }
        left -= count;
    }
    if (close(out) != 0) give_up(from, path, strerror(errno));
    take_all(from, data, (size_t)((BLOCK - size % BLOCK) % BLOCK));
}

/* One entry of a tar archive of the ustar form, which has directories and files alone; false at its end. */
static bool unpack_one(struct archive *from, int at) {
    char head[BLOCK], path[BLOCK], size[13] = "", mode[9] = "";
    take_all(from, head, BLOCK);
    if (head[0] == '\0') return false;
    if (head[345])
        snprintf(path, sizeof path, "%.155s/%.100s", head + 345, head);
    else
        snprintf(path, sizeof path, "%.100s", head);
    memcpy(size, head + 124, 12);
    memcpy(mode, head + 100, 8);
    if (!inside(path)) give_up(from, path, "this path leads out of the archive");
    if (head[156] == '5') {
        if (strcmp(path, "./") != 0 && mkdirat(at, path, 0700) != 0) give_up(from, path, strerror(errno));
    } else if (head[156] == '0') {
        write_file(from, at, path, strtoull(size, NULL, 8), strtoul(mode, NULL, 8) & S_IXUSR);
    } else {
        give_up(from, path, "this is neither a file nor a directory");
    }
    return true;
}

/* Unpack the archive under its name. Nothing is synced, which can take a minute where others write: a file's size reaches the
 * disk with its data or after it, so what a power cut leaves unwritten is shorter than its list says. */
static void unpack(int cached, int file, const struct trailer *at_end) {
    char draft[KEY];
    snprintf(draft, sizeof draft, "new-%d", (int)getpid());
    struct archive from = {file, cached, draft, at_end->size, ZSTD_createDStream(), {NULL, 0, 0}, 1, malloc(PIECE)};
    if (!from.decoder || !from.piece) die("there is too little memory");
    remove_tree(cached, draft);
    if (mkdirat(cached, draft, 0700) != 0) die("the cache cannot be written to: %s", strerror(errno));
    int at = openat(cached, draft, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (at < 0 || lseek(file, (off_t)at_end->start, SEEK_SET) < 0) give_up(&from, self, strerror(errno));
    while (unpack_one(&from, at)) continue;
    char rest[BLOCK];
    while (take(&from, rest, sizeof rest) > 0) continue;
    if (from.pending != 0 || from.left != 0) give_up(&from, self, "the file is damaged; get it again");
    remove_tree(cached, at_end->key); /* one that something was taken out of */
    if (renameat(cached, draft, cached, at_end->key) != 0) give_up(&from, "the cache", strerror(errno));
    close(at);
    ZSTD_freeDStream(from.decoder);
    free(from.piece);
}

/* The unpacked archive, open; unpacked by one process where several start at once. */
static int unpacked(int cached, int file, const struct trailer *at_end) {
    int entry = open_entry(cached, at_end->key);
    if (entry >= 0) return entry;
    int lock = openat(cached, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) != 0) die("the cache cannot be locked: %s", strerror(errno));
    entry = open_entry(cached, at_end->key);
    if (entry < 0) {
        fputs("cutoutd: unpacking, once for this version...\n", stderr);
        unpack(cached, file, at_end);
        remove_others(cached, at_end->key);
        entry = open_entry(cached, at_end->key);
    }
    close(lock);
    if (entry < 0) die("what was unpacked is not there any more");
    return entry;
}

/* ---- the start ------------------------------------------------------------------------------------------------------- */

/* Become Python, as it lies below `root`; `first` go before the user's own arguments. */
__attribute__((noreturn)) static void become(const char *root, char **first, char **own) {
    char loader[PATH_MAX], library[PATH_MAX], name[PATH_MAX], program[PATH_MAX];
    if (strlen(root) > PATH_MAX - 64) die("the path of the cache is too long");
    snprintf(loader, sizeof loader, "%s/lib/" LOADER, root);
    snprintf(library, sizeof library, "%s/lib", root);
    snprintf(name, sizeof name, "%s/bin/python", root);
    snprintf(program, sizeof program, "%s/bin/" INTERPRETER, root);
    size_t count = 0, more = 0;
    while (own[count]) count++;
    while (first[more]) more++;
    char **all = calloc(count + more + 10, sizeof *all);
    if (!all) die("there is too little memory");
    char *fixed[] = {loader, "--argv0", name, "--inhibit-cache", "--library-path", library, program, "-I", "-B"};
    memcpy(all, fixed, sizeof fixed);
    memcpy(all + 9, first, more * sizeof *all);
    memcpy(all + 9 + more, own, count * sizeof *all);
    /* They speak of the system's C library, and would have the loader mix it with this one. */
    unsetenv("LD_PRELOAD");
    unsetenv("LD_LIBRARY_PATH");
    unsetenv("LD_AUDIT");
    execv(loader, all);
    die("%s cannot be started: %s; if the file system is mounted noexec, set XDG_CACHE_HOME to a directory on another one", loader,
        strerror(errno));
}

int main(int count, char **arguments) {
    /* Who started this may have closed a standard stream: what is opened next would be taken for it. */
    for (int one = 0; one <= STDERR_FILENO; one++)
        if (fcntl(one, F_GETFD) < 0) open("/dev/null", O_RDWR); /* gets the lowest number that is free, which is this one */
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0) die("/proc is not mounted");
    self[length] = '\0';
    char *none[] = {NULL}, *module[] = {"-m", "cutoutd", NULL}, **own = count > 0 ? arguments + 1 : none;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct trailer at_end;
    if (file < 0) die("%s: %s", self, strerror(errno));
    if (lseek(file, -(off_t)sizeof at_end, SEEK_END) < 0 || read(file, &at_end, sizeof at_end) != (ssize_t)sizeof at_end)
        die("%s is damaged; get it again", self);
    if (memcmp(at_end.magic, MAGIC, sizeof MAGIC) != 0) { /* bin/python of the cache */
        close(file);
        char list[PATH_MAX], root[PATH_MAX];
        snprintf(root, sizeof root, "%.*s", (int)(strrchr(self, '/') - self), self);
        if (strrchr(root, '/')) *strrchr(root, '/') = '\0';
        if (snprintf(list, sizeof list, "%s/%s", root, LIST) >= (int)sizeof list || access(list, R_OK) != 0)
            die("%s is damaged, or a part of it is missing; get it again", self);
        become(root, none, own);
    }
    if (getuid() != geteuid()) die("this must not run with the rights of another user");
    at_end.key[KEY] = '\0';
    if (strspn(at_end.key, "0123456789abcdef") != KEY) die("%s is damaged; get it again", self);
    char path[PATH_MAX], root[PATH_MAX];
    int cached = open_cache(path);
    int entry = unpacked(cached, file, &at_end);
    fcntl(entry, F_SETFD, 0); /* the lock lasts as long as Python */
    if (snprintf(root, sizeof root, "%s/%s", path, at_end.key) >= (int)sizeof root) die("the path of the cache is too long");
    setenv("_CUTOUTD_BUNDLE", self, 1); /* what services and menus start */
    become(root, module, own);
}
