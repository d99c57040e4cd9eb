/* cgroup.h - where this process is in the control groups, v2 and v1.  Reads, never writes. */
#ifndef RUN_CGROUP_H
#define RUN_CGROUP_H

/* Call visit(dir, v2, arg) for our group of a controller ("cpu", "memory") and for each group
 * around it, innermost first.  In a container the path may not be visible; its top directory
 * is then our own group, and it is visited. */
void cgroup_visit(const char *controller, void (*visit)(const char *dir, int v2, void *arg),
                  void *arg);
/* The number in dir/name, or the number after `key` in its "key number" lines; -1: none. */
double cgroup_number(const char *dir, const char *name, const char *key);

#endif
