/* /etc/klystrr/agent.json: which server this is at which plane. Written by root at enrolment, read on every attempt. */
#ifndef KLY_UPLINK_CONFIG_H
#define KLY_UPLINK_CONFIG_H

#include <stdint.h>
#include <sys/types.h>

#include "proto/order.h"
#include "proto/url.h"

#define CONFIG_FILE     "/etc/klystrr/agent.json"
#define CONFIG_FILE_MAX 16384

struct config {
    char server[ID_TEXT_SIZE];
    char url[URL_PLANE_MAX + 1];
    struct plane_url plane;
    char authority[URL_HOST_MAX + 16]; /* the Host header */
    uint8_t ca[32];                    /* SHA-256 of the plane's CA certificate's DER */
};

/* 0; 1 if there is no such file; -1: E_PERM (not root's or the caller's, or writable by others), E_READ, E_CONFIG. */
int config_read(const char *path, struct config *out, struct error *err) KLY_MUST_USE;
/* The same from the file's bytes. E_CONFIG. */
int config_parse(struct bytes text, struct config *out, struct error *err) KLY_MUST_USE;

#endif
