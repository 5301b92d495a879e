/* A folder of its own for each test, emptied by the code under test. */
#ifndef KLY_TESTS_FETCH_LAB_H
#define KLY_TESTS_FETCH_LAB_H

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fetch/tree.h"

struct lab {
    char path[64];
    int root;
};

static inline int lab_open(void **state)
{
    static struct lab lab;
    strcpy(lab.path, "/tmp/klystrr-tree-XXXXXX");
    if (mkdtemp(lab.path) == NULL)
        return -1;
    lab.root = tree_open(lab.path, NULL);
    *state = &lab;
    return lab.root < 0 ? -1 : 0;
}

static inline int lab_close(void **state)
{
    struct lab *lab = *state;
    uint64_t removed, left;
    int failed = tree_clear(lab->root, &removed, &left, NULL);
    close(lab->root);
    rmdir(lab->path);
    return failed < 0 || left > 0 ? -1 : 0;
}

static inline void lab_file(const struct lab *lab, const char *name, mode_t mode)
{
    int fd = openat(lab->root, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || write(fd, name, strlen(name)) < 0 || fchmod(fd, mode) < 0)
        abort();
    close(fd);
}

static inline unsigned lab_mode(const struct lab *lab, const char *name)
{
    struct stat is;
    return fstatat(lab->root, name, &is, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : (unsigned)is.st_mode & 07777;
}

#endif
