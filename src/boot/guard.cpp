// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: write a few hundred bytes at boot that are surely on the disk before a patch is loaded,
// on a file system that may be full.
// Method: the file has one size for its whole life and is written in place: JSON, filled up with
// blanks. Invariant: a write that was cut in two leaves no valid JSON, and that counts as raised.
#include "boot/guard.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/json.h"

namespace suture::boot {

namespace {

constexpr std::size_t guard_size = 16384;

fs::path guard_path(const Store& store, const std::string& release) {
  return store.of(release) / "guard.json";
}

Result<std::string> to_text(const Guard& guard, const fs::path& path) {
  Json json{{"schema", 1},
            {"raised", guard.raised},
            {"boot_id", guard.boot_id},
            {"time", guard.time},
            {"patches", Json::array()}};
  for (const TriedPatch& patch : guard.patches) {
    json["patches"].push_back({{"name", patch.name}, {"sha256", patch.sha256}});
  }
  std::string text = json.line();
  if (text.size() >= guard_size) {
    return fail(Code::usage, path.string(), "more patches would be applied than can be noted",
                "install one cumulative patch in their place");
  }
  text.resize(guard_size - 1, ' ');
  return text + "\n";
}

Guard parse(std::string_view text) {
  const Json json = Json::parse(text).value_or(Json{});
  JsonReader reader(json);
  Guard guard{.raised = reader.truth("raised")};
  if (!reader.whole()) {
    return Guard{.raised = true};
  }
  guard.boot_id = reader.text("boot_id");
  guard.time = reader.text("time");
  for (const Json& entry : reader.items("patches")) {
    JsonReader patch(entry);
    guard.patches.push_back({patch.text("name"), patch.text("sha256")});
  }
  return guard;
}

}  // namespace

std::string boot_id(const machine::Machine& machine) {
  return first_line(machine.proc / "sys" / "kernel" / "random" / "boot_id");
}

Status prepare_guard(const Store& store, const std::string& release) {
  const fs::path path = guard_path(store, release);
  std::error_code ec;
  if (fs::symlink_status(path, ec).type() != fs::file_type::not_found) {
    return {};
  }
  const std::string text = TRY(to_text(Guard{}, path));
  return write_file_durably(path, as_bytes(text));
}

Result<Guard> read_guard(const Store& store, const std::string& release) {
  const fs::path path = guard_path(store, release);
  std::error_code ec;
  if (fs::symlink_status(path, ec).type() == fs::file_type::not_found) {
    return Guard{};
  }
  const Descriptor fd = TRY(open_trusted(store, path, Access::read));
  const Bytes bytes = TRY(read_bytes(fd, path));
  return parse(as_text(bytes));
}

Status write_guard(const Store& store, const std::string& release, const Guard& guard) {
  TRY(prepare_guard(store, release));
  const fs::path path = guard_path(store, release);
  const std::string text = TRY(to_text(guard, path));
  const Descriptor fd = TRY(open_trusted(store, path, Access::write));
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t put =
        ::pwrite(fd.get(), text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (put < 0 && errno != EINTR) {
      return fail_errno(errno, path.string(), "write");
    }
    done += put > 0 ? static_cast<std::size_t>(put) : 0;
  }
  if (::fdatasync(fd.get()) != 0) {
    return fail_errno(errno, path.string(), "sync");
  }
  return {};
}

Status remove_guard(const Store& store, const std::string& release) {
  return remove_file_durably(guard_path(store, release));
}

}  // namespace suture::boot
