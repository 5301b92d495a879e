#include "agent/fetch/entry.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NAME_BYTES 255

/* Code points that HFS+ leaves out of names, in UTF-8: U+200C-U+200F, U+202A-U+202E, U+206A-U+206F, U+FEFF. */
static bool is_ignored_by_hfs(const unsigned char *p, size_t left)
{
    if (left < 3)
        return false;
    if (p[0] == 0xef)
        return p[1] == 0xbb && p[2] == 0xbf;
    if (p[0] != 0xe2)
        return false;
    return (p[1] == 0x80 && ((p[2] >= 0x8c && p[2] <= 0x8f) || (p[2] >= 0xaa && p[2] <= 0xae))) ||
           (p[1] == 0x81 && p[2] >= 0xaa && p[2] <= 0xaf);
}

static bool is_dot_git_on_hfs(const char *name, size_t size)
{
    char kept[8];
    size_t count = 0;
    for (size_t i = 0; i < size;) {
        if (is_ignored_by_hfs((const unsigned char *)name + i, size - i)) {
            i += 3;
            continue;
        }
        if (count == sizeof kept - 1)
            return false;
        kept[count++] = name[i++];
    }
    kept[count] = '\0';
    return strcasecmp(kept, ".git") == 0;
}

/* NTFS drops dots and blanks at the end, and takes ':' for a stream of the same file. */
static bool is_dot_git_on_ntfs(const char *name, size_t size)
{
    size_t stem = 0;
    if (size >= 4 && strncasecmp(name, ".git", 4) == 0)
        stem = 4;
    else if (size >= 5 && strncasecmp(name, "git~1", 5) == 0)
        stem = 5;
    else
        return false;
    for (; stem < size && name[stem] != ':'; stem++)
        if (name[stem] != '.' && name[stem] != ' ')
            return false;
    return true;
}

bool entry_name_ok(const char *name, size_t size)
{
    if (size == 0 || size > NAME_BYTES || memchr(name, '/', size) != NULL || memchr(name, '\0', size) != NULL)
        return false;
    if ((size == 1 && name[0] == '.') || (size == 2 && name[0] == '.' && name[1] == '.'))
        return false;
    /* A backslash would be a separator where NTFS is shared out; ".git\x" hides behind it. */
    const char *slash = memchr(name, '\\', size);
    if (slash != NULL && is_dot_git_on_ntfs(name, (size_t)(slash - name)))
        return false;
    return !is_dot_git_on_hfs(name, size) && !is_dot_git_on_ntfs(name, size);
}

bool entry_link_ok(const char *target, unsigned depth)
{
    if (target[0] == '/' || target[0] == '\0')
        return false;
    long level = (long)depth;
    while (*target != '\0') {
        size_t size = strcspn(target, "/");
        if (size == 2 && target[0] == '.' && target[1] == '.')
            level--;
        else if (size > 0 && !(size == 1 && target[0] == '.'))
            level++;
        if (level < 0)
            return false;
        target += size + (target[size] == '/');
    }
    return true;
}

bool entry_is_lfs_pointer(const void *data, size_t size)
{
    static const char first[] = "version https://git-lfs.github.com/spec/v1\n";
    return size > sizeof first && size < 1024 && memcmp(data, first, sizeof first - 1) == 0;
}

void entry_show(const char *text, size_t size, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = c >= 0x20 && c != 0x7f && c != '\\';
        size_t need = plain ? 1 : 4;
        if (used + need + 1 > room)
            return;
        used += (size_t)snprintf(out + used, room - used, plain ? "%c" : "\\x%02x", c);
    }
}
