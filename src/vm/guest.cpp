// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: follow a machine that may hang, panic or never come up, and always stop in time; and go
// on from a booted one without booting it again. Method: QEMU writes both serial ports into named
// pipes that are opened for reading here before it starts, so one poll sees every byte, QEMU's own
// end, the deadline and the silence. A machine is saved by QEMU's migration to a socket whose other
// end is here, and restored from one: what is read is hashed on its way, so that nothing runs on
// with bytes that were not written. Invariant: QEMU is a child in its own process group that dies
// with this object and this process. A restored machine has got no files before its hash was right.
#include "vm/guest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>

#include "base/digest.h"
#include "guest/guest_plan.h"
#include "guest/shared_memory.h"
#include "vm/qmp.h"

namespace suture::vm {

namespace {

// In the machine's scratch directory, where QEMU runs.
constexpr const char* shared_name = "shared";
constexpr const char* stream_name = "stream";
constexpr const char* monitor_name = "monitor";
constexpr std::size_t piece = 1 << 20;  // bytes that are copied at a time

std::vector<std::string> qemu_arguments(const Hardware& hardware) {
  // thread=single: with a host thread for each of the guest's processors, QEMU 7.2 may keep what it
  // translated from code that another processor was just writing, and then hits for ever a
  // breakpoint that is long gone, which the kernel reports as a lockup.
  return {
      "qemu-system-x86_64", "-accel", "tcg,thread=single", "-cpu", "max", "-smp",
      fmt::format("{}", hardware.cpus), "-m", fmt::format("{}", hardware.memory_mib),
      // Before the shared memory: QEMU 10.0 takes the memory that is made first for the one that
      // it looks for changed pages in while it saves the machine, and ends where that is less.
      "-object", fmt::format("memory-backend-ram,id=ram,size={}M", hardware.memory_mib), "-machine",
      "memory-backend=ram", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
      "-object",
      fmt::format("memory-backend-file,id=shared,mem-path={},size={},share=on", shared_name,
                  hardware.shared_bytes),
      // The master's memory is saved with the machine.
      "-device", "ivshmem-plain,memdev=shared,master=on", "-serial", "file:console", "-serial",
      "file:answers"};
}

// Hands over the whole lines of `text`. False once on_line has had enough; the lines behind that
// one stay.
bool take_lines(std::string& text, const std::function<bool(std::string_view)>& on_line) {
  std::size_t start = 0;
  bool more = true;
  for (std::size_t end; more && (end = text.find('\n', start)) != std::string::npos;
       start = end + 1) {
    more = on_line(std::string_view(text).substr(start, end - start));
  }
  text.erase(0, start);
  return more;
}

bool is_ready(std::string_view line) {
  auto event = guest::parse_line(line);
  return event && event->kind == guest::EventKind::ready;
}

std::string how_it_ended(const GuestEnd& end) {
  switch (end.how) {
    case GuestEnd::How::told: break;
    case GuestEnd::How::died: return "it stopped";
    case GuestEnd::How::silent: return "it gave no sign of life any more";
    case GuestEnd::How::deadline: return "the time limit was reached";
  }
  return {};
}

// Copies all that comes, from or into a socket; `path` is the file at the other end. Its SHA-256.
Result<std::string> copy(const Descriptor& from, const Descriptor& to, const fs::path& path) {
  Sha256 hash;
  std::vector<std::uint8_t> buffer(piece);
  for (;;) {
    const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
    if (got < 0) {
      return fail_errno(errno, path.string(), "read the guest's state");
    }
    if (got == 0) {
      return hash.hex();
    }
    const ByteView bytes(buffer.data(), static_cast<std::size_t>(got));
    hash.add(bytes);
    TRY(write_bytes(to, bytes, path));
  }
}

Result<Descriptor> open_state(const fs::path& path, int how) {
  Descriptor file(::open(path.c_str(), how | O_CLOEXEC, 0600));
  if (file.get() < 0) {
    return fail_errno(errno, path.string(), "open the guest's state");
  }
  return file;
}

// QEMU would die where the disk is full when it comes to use it.
Status reserve(const fs::path& path, std::uint64_t bytes) {
  const Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const int error =
      fd.get() < 0 ? errno : ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes));
  return error == 0 ? Status{}
                    : Status(fail_errno(error, path.string(), "reserve the guest's shared memory"));
}

Status write_at(const Descriptor& fd, std::uint64_t offset, ByteView bytes, const fs::path& path) {
  if (::lseek(fd.get(), static_cast<off_t>(offset), SEEK_SET) < 0) {
    return fail_errno(errno, path.string(), "hand the files over to the guest");
  }
  return write_bytes(fd, bytes, path);
}

}  // namespace

Result<SerialPort> SerialPort::create(const fs::path& path) {
  if (::mkfifo(path.c_str(), 0600) != 0) {
    return fail_errno(errno, path.string(), "create pipe");
  }
  SerialPort port;
  port.fd_ = Descriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (port.fd_.get() < 0) {
    return fail_errno(errno, path.string(), "open pipe");
  }
  return port;
}

bool SerialPort::read_into(std::string& text) const {
  char buffer[65536];
  bool any = false;
  for (ssize_t got; (got = ::read(fd_.get(), buffer, sizeof(buffer))) > 0; any = true) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return any;
}

Result<Guest> Guest::start(const Hardware& hardware, std::vector<std::string> more) {
  TRY(find_program("qemu-system-x86_64", "qemu-system-x86"));
  Guest guest;
  guest.scratch_ = TRY(WorkDir::create(temporary_directory(), "suture-guest"));
  const fs::path& scratch = guest.scratch_.path();
  guest.console_port_ = TRY(SerialPort::create(scratch / "console"));
  guest.answer_port_ = TRY(SerialPort::create(scratch / "answers"));
  TRY(reserve(scratch / shared_name, hardware.shared_bytes));
  std::vector<std::string> argv = qemu_arguments(hardware);
  std::ranges::move(more, std::back_inserter(argv));
  guest.start_ = now_seconds();
  guest.qemu_ = TRY(Child::start({.argv = std::move(argv), .directory = scratch}));
  return guest;
}

Result<Guest> Guest::boot(const Hardware& hardware, const Boot& boot) {
  const std::size_t space = boot.init.find(' ');
  std::error_code ec;
  return start(hardware,
               {"-qmp", fmt::format("unix:{},server=on,wait=off", monitor_name), "-kernel",
                fs::absolute(boot.vmlinuz, ec).string(), "-initrd",
                fs::absolute(boot.initramfs, ec).string(), "-append",
                fmt::format("console=ttyS0 quiet panic=-1 no_timer_check {} rdinit={} -- {}",
                            boot.arguments, boot.init.substr(0, space),
                            space == std::string::npos ? "" : boot.init.substr(space + 1))});
}

Result<Guest> Guest::restore(const Hardware& hardware, const fs::path& state,
                             const std::string& sha256) {
  Guest guest = TRY(start(hardware, {"-incoming", fmt::format("unix:{}", stream_name)}));
  {
    const Descriptor file = TRY(open_state(state, O_RDONLY));
    const Descriptor stream = TRY(connect_to(guest.scratch_.path() / stream_name));
    if (TRY(copy(file, stream, state)) != sha256) {
      return fail(Code::guest_failed, state.string(), "it is not what was written",
                  "remove it: suture cache clean");
    }
  }
  return guest;
}

// A QEMU that ends at once and talks about itself has refused its arguments or its files.
Status Guest::check_qemu() {
  Finished finished = TRY(qemu_.wait());
  if (finished.exit_status != 0) {
    return fail(Code::guest_failed, "qemu-system-x86_64",
                fmt::format("it ended with status {} after {:.0f} s: {}", finished.exit_status,
                            seconds(), console_tail(finished.out, 5)),
                "check that the kernel image is whole and that memory is free (--memory)");
  }
  return {};
}

Status Guest::wait_until_ready(const Limits& limits) {
  const GuestEnd end = TRY(watch(limits, [](std::string_view line) { return !is_ready(line); }));
  if (end.how != GuestEnd::How::told) {
    return fail(Code::guest_failed, "guest",
                fmt::format("it did not come up in {:.0f} s ({}); its console ends with:\n{}",
                            end.seconds, how_it_ended(end), console_tail(console_, 10)),
                "give it more memory or time (--memory, --timeout), or check the kernel image: "
                "suture kernel add");
  }
  return {};
}

Status Guest::hand_over(ByteView archive) {
  const fs::path path = scratch_.path() / shared_name;
  const Descriptor fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    return fail_errno(errno, path.string(), "open the guest's shared memory");
  }
  TRY(write_at(fd, guest::archive_offset, archive, path));
  guest::HandedOver header{.size = archive.size(), .seconds = std::time(nullptr)};
  if (::getrandom(header.random.data(), header.random.size(), 0) < 0) {
    return fail_errno(errno, "guest", "draw random numbers for it");
  }
  const auto whole = [](const guest::HandedOver& it) {
    return ByteView(reinterpret_cast<const std::uint8_t*>(&it), sizeof(it));
  };
  TRY(write_at(fd, 0, whole(header), path));
  header.mark = guest::handed_over_mark;
  return write_at(fd, 0, whole(header).first(sizeof(header.mark)), path);
}

Result<std::string> Guest::save(const fs::path& state) {
  const fs::path stream = scratch_.path() / stream_name;
  const Descriptor listening = TRY(listen_at(stream));
  Monitor monitor = TRY(Monitor::connect(scratch_.path() / monitor_name));
  // Bytes a second: without this it takes its time, as it would on a network.
  TRY(monitor.run("migrate-set-parameters", Json{{"max-bandwidth", std::int64_t{1} << 40}}));
  TRY(monitor.run("migrate", Json{{"uri", fmt::format("unix:{}", stream_name)}}));
  std::string sha256;
  {
    const Descriptor file = TRY(open_state(state, O_WRONLY | O_CREAT | O_TRUNC));
    const Descriptor connection = TRY(accept_at(listening, stream));
    sha256 = TRY(copy(connection, file, state));
  }
  const Json said = TRY(monitor.run("query-migrate"));
  const Json* status = said.find("status");
  if (status == nullptr || status->as_text() != "completed") {
    return fail(Code::guest_failed, "qemu-system-x86_64",
                fmt::format("it did not write all of the guest's state: {}", said.line()),
                "run the command again");
  }
  return sha256;
}

Result<GuestEnd> Guest::watch(const Limits& limits,
                              const std::function<bool(std::string_view line)>& on_line) {
  double last_sign = now_seconds();
  for (;;) {
    const auto ended = [&](GuestEnd::How how) {
      return GuestEnd{.how = how, .seconds = seconds()};
    };
    if (!take_lines(answers_, on_line)) {
      return ended(GuestEnd::How::told);
    }
    std::array<pollfd, 3> waits{{{console_port_.descriptor(), POLLIN, 0},
                                 {answer_port_.descriptor(), POLLIN, 0},
                                 {qemu_.descriptor(), 0, 0}}};
    ::poll(waits.data(), waits.size(), 500);
    const bool gone = (waits[2].revents & POLLHUP) != 0;
    const bool spoke = console_port_.read_into(console_);
    const bool answered = answer_port_.read_into(answers_);
    const double now = now_seconds();
    last_sign = spoke || answered ? now : last_sign;
    if (gone) {
      if (!take_lines(answers_, on_line)) {
        return ended(GuestEnd::How::told);
      }
      TRY(check_qemu());
      return ended(GuestEnd::How::died);
    }
    if (interrupted()) {
      return fail(Code::interrupted, "guest", "interrupted; the guest is gone",
                  "run the command again");
    }
    if (now - last_sign > limits.silence) {
      return ended(GuestEnd::How::silent);
    }
    if (seconds() > limits.deadline) {
      return ended(GuestEnd::How::deadline);
    }
  }
}

std::string console_tail(std::string_view console, int lines) {
  while (!console.empty() && (console.back() == '\n' || console.back() == '\r')) {
    console.remove_suffix(1);
  }
  std::size_t start = console.size();
  for (int seen = 0; start > 0; --start) {
    if (console[start - 1] == '\n' && ++seen == lines) {
      break;
    }
  }
  std::string tail(console.substr(start));
  std::erase(tail, '\r');
  return tail;
}

}  // namespace suture::vm
