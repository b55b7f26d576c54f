/* What a program says to its service manager (sd_notify(3)). */
#include "attack.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* tell SOCKET TEXT...: one datagram for each text, with a descriptor beside it. */
int tell(int argc, char **argv) {
    if (argc < 1) return 2;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", argv[0]);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    for (int i = 1; i < argc; i++) {
        union {
            char bytes[CMSG_SPACE(sizeof(int))];
            struct cmsghdr header;
        } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS}};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        struct iovec text = {argv[i], strlen(argv[i])};
        struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &text,
                                 .msg_iovlen = 1, .msg_control = &control,
                                 .msg_controllen = sizeof control};
        if (sendmsg(fd, &message, 0) < 0) {
            fprintf(stderr, "tell: %s\n", strerror(errno));
            return 1;
        }
    }
    close(fd);
    return 0;
}
