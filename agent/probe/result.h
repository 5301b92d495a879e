/* What klystrr-probe says to whoever started it.
 *
 *   klystrr-probe --port N [--path P] [--host H] [--status S] [--timeout MS] [--interval MS] [--header NAME]
 *   klystrr-probe --who PORT          who listens on this port of the loopback
 *   klystrr-probe --listens UID       on which ports does this user listen
 *
 * Exit status 0: yes. Standard output then holds one machine line:
 *     status <code> header <value of NAME, escaped, or ->
 *     uid <uid> inode <socket inode>          --who
 *     port <n>                                --listens, one line a port, 16 at most
 * 1: no; the last line of standard error is "klystrr-probe: E_CODE a sentence". 2: wrong usage.
 *
 * Codes:
 *   E_PROBE_REFUSED   nobody listens there
 *   E_PROBE_STATUS    it answers, but with another status
 *   E_PROBE_TIMEOUT   it takes the connection and does not answer in time
 *   E_PROBE_PROTOCOL  what it says is not HTTP
 */
#ifndef KLY_PROBE_RESULT_H
#define KLY_PROBE_RESULT_H

#define PROBE_EXIT_OK     0
#define PROBE_EXIT_FAILED 1
#define PROBE_EXIT_USAGE  2

#endif
