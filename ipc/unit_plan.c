#include "ipc/unit_plan.h"

#include <stdio.h>

#include "ipc/layout.h"

void unit_name(const struct warden_unit *unit, char out[UNIT_NAME_SIZE])
{
    if (unit->app[0] == 0)
        snprintf(out, UNIT_NAME_SIZE, "%.31s", unit->project);
    else
        snprintf(out, UNIT_NAME_SIZE, "%.31s:%.23s:%u", unit->project, unit->app, unit->slot & 1);
}

void unit_plan_path(const struct warden_unit *unit, char out[128])
{
    char name[UNIT_NAME_SIZE];
    unit_name(unit, name);
    snprintf(out, 128, KLY_RUN_APPS "/%s.plan", name);
}

void unit_output_path(const struct warden_unit *unit, char out[128])
{
    snprintf(out, 128, KLY_RUN_OUT "/%.31s.%.23s.%u", unit->project, unit->app, unit->slot & 1);
}
