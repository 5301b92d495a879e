/* The folders that all of Klystrr stands on; systemd/tmpfiles.conf makes the same. */
#ifndef KLY_SUPERVISE_LAYOUT_H
#define KLY_SUPERVISE_LAYOUT_H

#include "base/error.h"

/* Makes what is missing in /run, /var/lib, /srv and /opt, and sets owners and modes. E_LAYOUT. */
int layout_make(struct error *err) KLY_MUST_USE;

#endif
