// SPDX-License-Identifier: GPL-2.0-or-later
//
// insert_module FILE [PARAMETER...]: one finit_module; where busybox is refused, it tries again in
// another way. Prints the kernel's error and exits 1.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

int main(int argc, char** argv) {
  if (argc < 2) {
    return 2;
  }
  std::string parameters;
  for (int i = 2; i < argc; ++i) {
    parameters += (i == 2 ? "" : " ") + std::string(argv[i]);
  }
  const int fd = ::open(argv[1], O_RDONLY | O_CLOEXEC);
  if (::syscall(SYS_finit_module, fd, parameters.c_str(), 0) != 0) {
    std::fprintf(stderr, "%s\n", std::strerror(errno));
    return 1;
  }
  return 0;
}
