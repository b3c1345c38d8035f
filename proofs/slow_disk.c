/* Preloaded into PostgreSQL, it makes each flush to the disk take longer, by as many
   microseconds as the file named by SLOW_DISK says; none, if there is no such file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_for_the_disk(void)
{
    const char *path = getenv("SLOW_DISK");
    FILE *file = path ? fopen(path, "r") : NULL;
    long microseconds = 0;
    struct timespec rest;

    if (file == NULL)
        return;
    if (fscanf(file, "%ld", &microseconds) != 1)
        microseconds = 0;
    fclose(file);
    rest.tv_sec = microseconds / 1000000;
    rest.tv_nsec = microseconds % 1000000 * 1000;
    /* A disk does not get faster when its caller is sent a signal. */
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        continue;
}

int fdatasync(int descriptor)
{
    int (*next)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");

    wait_for_the_disk();
    return next(descriptor);
}

int fsync(int descriptor)
{
    int (*next)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fsync");

    wait_for_the_disk();
    return next(descriptor);
}
