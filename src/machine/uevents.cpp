// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/uevents.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

namespace suture::machine {

Result<ModuleEvents> ModuleEvents::open() {
  Descriptor fd(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  if (fd.get() < 0) {
    return fail_errno(errno, "uevents", "open the kernel's event socket");
  }
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;  // the kernel's own, not udev's
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail_errno(errno, "uevents", "listen to the kernel's events");
  }
  return ModuleEvents(std::move(fd));
}

bool ModuleEvents::any() const {
  bool found = false;
  char buffer[8192];  // one datagram: "add@/module/NAME", then KEY=VALUE strings
  for (;;) {
    const ssize_t got = ::recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (got < 0 && errno == ENOBUFS) {
      found = true;
    } else if (got < 0 && errno != EINTR) {
      return found;
    } else if (got > 0) {
      const std::string_view event(buffer, static_cast<std::size_t>(got));
      found = found || event.substr(0, event.find('\0')).find("@/module/") != event.npos;
    }
  }
}

}  // namespace suture::machine
