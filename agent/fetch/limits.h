/* What a repository and a release may have at most (E_REPO_LIMIT). */
#ifndef KLY_FETCH_LIMITS_H
#define KLY_FETCH_LIMITS_H

#define LIMIT_MB_DEFAULT  4096u     /* bytes received, and bytes checked out, each; --max-mb */
#define LIMIT_OBJECTS     4000000u  /* in one pack */
#define LIMIT_OBJECT_MB   512u      /* one object */
#define LIMIT_REFS        100000u   /* that the host advertises */
#define LIMIT_ENTRIES     1000000u  /* files, folders and links of a tree */
#define LIMIT_DEPTH       128u      /* folders in folders */
#define LIMIT_PATH        4000u     /* bytes of a path in a tree */
#define LIMIT_LINK        4000u     /* bytes of a link's target */
#define LIMIT_STALL_S     60u       /* silence of the host; --stall */
#define LIMIT_DEADLINE_S  1800u     /* the whole fetch; --deadline */
#define LIMIT_CREDENTIAL  65536u    /* bytes of a token or key */
#define LIMIT_LFS_LINES   20u

#endif
