/* One connection, one box: from its BOX_START to the proof that nothing of it lives. */
#ifndef KLY_CONFINE_BOX_H
#define KLY_CONFINE_BOX_H

#include "base/error.h"

/* Serves the connection to its end. E_BOX_… and E_IPC_… were told to the peer, too. */
int box_serve(int conn, struct error *err) KLY_MUST_USE;

#endif
