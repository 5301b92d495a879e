/* Where things lie on a host and whom they belong to: what the warden makes and the others use. The systemd units,
 * tmpfiles.d and sysusers.d say the same; tests/unit/ipc holds them together. */
#ifndef KLY_IPC_LAYOUT_H
#define KLY_IPC_LAYOUT_H

#define KLY_RUN      "/run/klystrr"           /* sockets */
#define KLY_RUN_OUT  KLY_RUN "/out"           /* FIFOs of app output: unit_output_path */
#define KLY_RUN_APPS KLY_RUN "/apps"          /* unit plans: root alone */
#define KLY_RUN_SW   KLY_RUN "/sw"            /* switch flags that nginx looks at */
#define KLY_RUN_BOX  KLY_RUN "/box"           /* where confine puts a box's root together */
#define KLY_STATE    "/var/lib/klystrr"
#define KLY_WARDEN_STATE KLY_STATE "/warden"  /* ports for life: root alone */
#define KLY_SRV      "/srv/klystrr"           /* a folder a project */
#define KLY_NODE     "/opt/klystrr/node"      /* Node versions */

#define KLY_USER        "klystrr"       /* the agent */
#define KLY_USER_NET    "klystrr-net"   /* the uplink */
#define KLY_USER_LOG    "klystrr-log"   /* scribes */
#define KLY_USER_PROBE  "klystrr-probe"
#define KLY_USER_NODE   "klystrr-node"  /* fetches Node versions */
#define KLY_GROUP_READ  "klystrr-read"  /* may ask agent.sock */

#endif
