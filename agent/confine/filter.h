/* The seccomp programs that libseccomp compiled when Klystrr was built: loaded here, never composed. */
#ifndef KLY_CONFINE_FILTER_H
#define KLY_CONFINE_FILTER_H

#include "ipc/box_api.h"

/* Opens KLY_LIBEXEC/seccomp/<name>.bpf; root's own file only. Descriptor or -1: E_BOX_FILTER. Without it there
 * is no box. */
int filter_open(const char *name, struct error *err) KLY_MUST_USE;
/* Loads it for this process and all it becomes. With `listen`, the descriptor on which refused calls are heard
 * (SECCOMP_RET_USER_NOTIF), else 0. E_BOX_FILTER. */
int filter_load(int fd, bool listen, struct error *err) KLY_MUST_USE;
/* Answers one refused call with EPERM. 1 and *denied filled: the first of its name in this box; else 0. Takes
 * no notice of errors: the caller may be gone by now. told: a bit a name, kept by the caller. */
int filter_answer(int listener, uint64_t *told, struct box_denied *denied);

#endif
