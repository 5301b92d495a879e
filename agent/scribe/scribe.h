/* The hub of klystrr-scribe: pipes → mask → stamp → member → spool, by the records of ipc/scribe_api.h.
 *
 * Happy path: START repairs the spool; secrets and pipes come; what pipes bring is masked before anything else
 * happens to it; whole members are fsynced and told (SYNCED); CLOSE drains the pipes and ends the program.
 * When the spool cannot be written, reading stops (the phases are slowed, nothing is dropped) and the write is tried
 * again every second. When the agent goes away, what is in the pipes is still written; then the program ends. */
#ifndef KLY_SCRIBE_SCRIBE_H
#define KLY_SCRIBE_SCRIBE_H

#include "base/error.h"

/* Works until it is told to close or `*stop` is set. Owns both descriptors. 0, or -1 with err: E_SPOOL_WRITE if the last of the
 * log could not be written, E_SCRIBE_RECORD for a peer that does not keep to the protocol. */
int scribe_run(int control, int spool, const volatile int *stop, struct error *err) KLY_MUST_USE;

#endif
