// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/qmp.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/process.h"

namespace suture::vm {

namespace {

constexpr double patience = 20;  // seconds

std::unexpected<Error> no_answer(const std::string& what) {
  return fail(Code::guest_failed, "qemu-system-x86_64", what,
              "run the command again, with less beside it");
}

// The address of a socket by its directory, which stays open as long: a name in it is always short
// enough.
struct Address {
  Descriptor directory;
  sockaddr_un name{};
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
};

Result<Address> address_of(const fs::path& socket) {
  Address out{.directory = Descriptor(
                  ::open(socket.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC))};
  if (out.directory.get() < 0) {
    return fail_errno(errno, socket.parent_path().string(), "open directory");
  }
  out.name.sun_family = AF_UNIX;
  const std::string path =
      fmt::format("/proc/self/fd/{}/{}", out.directory.get(), socket.filename().string());
  if (path.size() >= sizeof(out.name.sun_path)) {
    return fail_errno(ENAMETOOLONG, socket.string(), "make socket");
  }
  std::memcpy(out.name.sun_path, path.c_str(), path.size() + 1);
  return out;
}

Result<Descriptor> new_socket(const fs::path& path) {
  Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) {
    return fail_errno(errno, path.string(), "make socket");
  }
  timeval limit{.tv_sec = static_cast<time_t>(patience), .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  return fd;
}

}  // namespace

Result<Descriptor> connect_to(const fs::path& path) {
  const Address address = TRY(address_of(path));
  const double start = now_seconds();
  for (;;) {
    Descriptor fd = TRY(new_socket(path));
    if (::connect(fd.get(), address.get(), sizeof(address.name)) == 0) {
      return fd;
    }
    if (errno != ENOENT && errno != ECONNREFUSED) {
      return fail_errno(errno, path.string(), "connect to QEMU");
    }
    if (interrupted() || now_seconds() - start > patience) {
      return no_answer("it did not open its socket");
    }
    ::usleep(2000);
  }
}

Result<Descriptor> listen_at(const fs::path& path) {
  const Address address = TRY(address_of(path));
  Descriptor fd = TRY(new_socket(path));
  if (::bind(fd.get(), address.get(), sizeof(address.name)) != 0 || ::listen(fd.get(), 1) != 0) {
    return fail_errno(errno, path.string(), "make socket");
  }
  return fd;
}

Result<Descriptor> accept_at(const Descriptor& listening, const fs::path& path) {
  Descriptor fd(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (fd.get() < 0) {
    return no_answer(fmt::format("it did not connect to {}", path.filename().string()));
  }
  return fd;
}

Result<Monitor> Monitor::connect(const fs::path& socket) {
  Monitor monitor(TRY(connect_to(socket)));
  TRY(monitor.read_object());  // it greets
  TRY(monitor.run("qmp_capabilities"));
  return monitor;
}

Result<Json> Monitor::run(const std::string& command, const Json& arguments) {
  Json request{{"execute", command}};
  if (arguments.is_object()) {
    request["arguments"] = arguments;
  }
  const std::string line = request.line() + "\n";
  if (::send(fd_.get(), line.data(), line.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size())) {
    return no_answer("its control socket is closed");
  }
  for (;;) {
    const Json answer = TRY(read_object());
    if (const Json* returned = answer.find("return")) {
      return *returned;
    }
    if (const Json* error = answer.find("error")) {
      const Json* text = error->find("desc");
      return no_answer(fmt::format("it refuses {}: {}", command,
                                   text == nullptr ? "?" : text->as_text().value_or("?")));
    }
    // Events come between.
  }
}

Result<Json> Monitor::read_object() {
  for (;;) {
    if (const std::size_t end = text_.find('\n'); end != std::string::npos) {
      auto object = Json::parse(std::string_view(text_).substr(0, end));
      text_.erase(0, end + 1);
      if (!object) {
        return no_answer("what it says on its control socket is not JSON");
      }
      return std::move(*object);
    }
    char buffer[4096];
    const ssize_t got = ::recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (got <= 0) {
      return no_answer("it does not answer on its control socket");
    }
    text_.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace suture::vm
