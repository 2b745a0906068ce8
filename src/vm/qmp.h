// SPDX-License-Identifier: GPL-2.0-or-later
//
// QEMU's control socket, which speaks its Machine Protocol (QMP): one JSON object a line, commands
// in one direction, answers and events in the other.
#pragma once

#include <string>

#include "base/descriptor.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace suture::vm {

class Monitor {
 public:
  // Of a QEMU that has opened the socket, or will within seconds.
  static Result<Monitor> connect(const fs::path& socket);

  // What the command returns. guest-failed where QEMU refuses it, or does not answer.
  Result<Json> run(const std::string& command, const Json& arguments = Json{});

 private:
  explicit Monitor(Descriptor fd) : fd_(std::move(fd)) {}
  Result<Json> read_object();

  Descriptor fd_;
  std::string text_;
};

// Sockets by path. A path of any length is fine, as its directory is opened first.
// Waits until somebody listens there, 20 seconds at most.
Result<Descriptor> connect_to(const fs::path& socket);
Result<Descriptor> listen_at(const fs::path& socket);
// The next who connects; 20 seconds at most.
Result<Descriptor> accept_at(const Descriptor& listening, const fs::path& socket);

}  // namespace suture::vm
