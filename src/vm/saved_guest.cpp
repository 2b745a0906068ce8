// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: most of a short trial is the kernel's boot, which is always the same.
// Method: the machine is saved when it has booted and has no files yet, under the hash of all that
// it is made of: the kernel, QEMU, its hardware, its arguments, and each byte of the files that it
// boots with (this program is one of them).
// Invariants: KEY/ is there whole or not at all, as it is renamed into place. One process makes it
// at a time, the others wait. What is damaged, or does not come up, is thrown away and made again,
// once.
#include "vm/saved_guest.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/digest.h"
#include "base/process.h"
#include "kernel/cache.h"

namespace suture::vm {

namespace {

constexpr const char* state_name = "state";
constexpr const char* hash_name = "state.sha256";
constexpr std::size_t most_kept = 6;  // for each kernel; each takes some 200 MiB

// Which file a path leads to now: an upgrade of it is another.
Result<std::string> identity(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return fail_errno(errno, path.string(), "look at file");
  }
  return fmt::format("{} {} {}.{:09}", path.string(), info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec);
}

Result<std::string> key_of(const GuestWanted& wanted) {
  const fs::path qemu = TRY(find_program("qemu-system-x86_64", "qemu-system-x86"));
  const std::string parts = fmt::format(
      "1\n{}\n{}\n{}\n{} {} {}\n{}\n{}\n", TRY(identity(qemu)), TRY(sha256_file(wanted.vmlinuz)),
      wanted.files->sha256(), wanted.hardware.memory_mib, wanted.hardware.cpus,
      wanted.hardware.shared_bytes, wanted.init, wanted.arguments);
  return sha256_hex(as_bytes(parts)).substr(0, 32);
}

// The time that a whole trial has.
class Clock {
 public:
  explicit Clock(const Limits& limits) : limits_(limits) {}
  double passed() const { return now_seconds() - start_; }
  double left() const { return std::max(limits_.deadline - passed(), 0.0); }
  Limits limits() const { return {.deadline = left(), .silence = limits_.silence}; }

 private:
  Limits limits_;
  double start_ = now_seconds();
};

Result<Guest> boot(const GuestWanted& wanted, const Clock& clock) {
  const WorkDir scratch = TRY(WorkDir::create(temporary_directory(), "suture-test"));
  const fs::path archive = scratch.path() / "initramfs";
  TRY(wanted.files->write(archive));
  Guest guest = TRY(Guest::boot(wanted.hardware, {.vmlinuz = wanted.vmlinuz,
                                                  .initramfs = archive,
                                                  .init = wanted.init,
                                                  .arguments = wanted.arguments}));
  TRY(guest.wait_until_ready(clock.limits()));
  return guest;
}

bool is_kept(const fs::path& kept) {
  std::error_code ec;
  return fs::exists(kept / hash_name, ec);
}

Result<Guest> restore(const GuestWanted& wanted, const fs::path& kept, const Clock& clock) {
  const std::string sha256 = TRY(read_text(kept / hash_name));
  Guest guest = TRY(Guest::restore(wanted.hardware, kept / state_name, sha256));
  TRY(guest.wait_until_ready(clock.limits()));
  std::error_code ec;
  fs::last_write_time(kept, fs::file_time_type::clock::now(), ec);  // it was of use
  return guest;
}

// The oldest go where there are too many.
void keep_few(const fs::path& directory) {
  std::error_code ec;
  std::vector<std::pair<fs::file_time_type, fs::path>> kept;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ec)) {
    if (is_kept(entry.path())) {
      kept.emplace_back(entry.last_write_time(ec), entry.path());
    }
  }
  std::ranges::sort(kept, std::greater{});
  for (std::size_t i = most_kept; i < kept.size(); ++i) {
    fs::remove_all(kept[i].second, ec);
  }
}

// Writes KEY/. The guest has stopped then.
Status keep(Guest& guest, const fs::path& kept) {
  TempDir entry = TRY(TempDir::create(kept.parent_path(), kernel::temporary_prefix));
  const std::string sha256 = TRY(guest.save(entry.path() / state_name));
  TRY(write_file(entry.path() / hash_name, sha256));
  std::error_code ec;
  fs::permissions(entry.path(), fs::perms(0755), ec);  // mkdtemp makes it for its owner only
  fs::remove_all(kept, ec);                            // a damaged one
  TRY(rename_path(entry.path(), kept));
  entry.release();
  keep_few(kept.parent_path());
  return {};
}

// Who waits for the lock may find it made: then `again` is not wanted any more.
Result<FileLock> lock(const GuestWanted& wanted, const Clock& clock, bool& again) {
  const fs::path path = wanted.keep / "lock";
  auto lock = FileLock::try_acquire(path);
  if (!lock && lock.error().code == Code::busy) {
    wanted.progress("waiting for another suture that boots a guest");
    again = false;
    return FileLock::acquire(path, clock.left());
  }
  return lock;
}

// Boots one and keeps it. Where it cannot be kept: the booted one itself, or another if QEMU did
// not survive the attempt, and progress is told.
Result<std::optional<Guest>> make(const GuestWanted& wanted, const fs::path& kept,
                                  const Clock& clock, bool again) {
  const auto cannot = [&](const Error& error) {
    wanted.progress(
        fmt::format("the booted guest cannot be kept: {}: {}", error.where, error.reason));
  };
  auto held = lock(wanted, clock, again);
  if (held && !again && is_kept(kept)) {
    return std::nullopt;
  }
  if (!held) {
    if (held.error().code == Code::busy) {
      return std::unexpected(held.error());
    }
    cannot(held.error());
    return TRY(boot(wanted, clock));
  }
  kernel::remove_leftovers(wanted.keep);
  wanted.progress("booting the kernel; later tests go on from there");
  Guest guest = TRY(boot(wanted, clock));
  const Status saved = keep(guest, kept);
  if (saved) {
    return std::nullopt;
  }
  if (saved.error().code == Code::interrupted) {
    return std::unexpected(saved.error());
  }
  cannot(saved.error());
  if (guest.wait_until_ready(clock.limits())) {  // it has gone on
    return guest;
  }
  return TRY(boot(wanted, clock));
}

}  // namespace

Result<ReadyGuest> ready_guest(const GuestWanted& wanted) {
  const Clock clock(wanted.limits);
  const auto ready = [&](Guest guest, bool restored) {
    const double before = std::max(clock.passed() - guest.seconds(), 0.0);
    return ReadyGuest{.guest = std::move(guest), .restored = restored, .before = before};
  };
  if (wanted.keep.empty()) {
    return ready(TRY(boot(wanted, clock)), false);
  }
  const fs::path kept = wanted.keep / TRY(key_of(wanted));
  std::error_code ec;
  if (fs::exists(wanted.keep, ec)) {
    TRY(kernel::check_cache_owner(wanted.keep));
  }
  std::ignore = make_directories(wanted.keep);  // then the lock says why not
  bool damaged = false;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const bool there = !damaged && is_kept(kept);
    if (!there) {
      if (auto guest = TRY(make(wanted, kept, clock, damaged))) {
        return ready(std::move(*guest), false);
      }
    }
    auto guest = restore(wanted, kept, clock);
    if (guest) {
      return ready(std::move(*guest), there);
    }
    if (guest.error().code == Code::interrupted || clock.left() == 0) {
      return std::unexpected(guest.error());
    }
    damaged = true;
  }
  return ready(TRY(boot(wanted, clock)), false);
}

}  // namespace suture::vm
