// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: follow a machine that may hang, panic or never come up, and always stop in time.
// Method: QEMU writes both serial ports into named pipes that are opened for reading here before it
// starts, so one poll sees every byte, QEMU's own end, the deadline and the silence.
// Invariant: QEMU is a child in its own process group that dies with this object and this process.
#include "vm/guest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/process.h"

namespace suture::vm {

namespace {

class Pipe {
 public:
  static Result<Pipe> create(const fs::path& path) {
    if (::mkfifo(path.c_str(), 0600) != 0) {
      return fail_errno(errno, path.string(), "create pipe");
    }
    Pipe pipe;
    pipe.fd_ = Descriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (pipe.fd_.get() < 0) {
      return fail_errno(errno, path.string(), "open pipe");
    }
    return pipe;
  }

  int descriptor() const { return fd_.get(); }
  // Appends what is there; true where it was anything.
  bool read_into(std::string& text) const {
    char buffer[65536];
    bool any = false;
    for (ssize_t got; (got = ::read(fd_.get(), buffer, sizeof(buffer))) > 0; any = true) {
      text.append(buffer, static_cast<std::size_t>(got));
    }
    return any;
  }

 private:
  Pipe() = default;
  Descriptor fd_;
};

std::vector<std::string> qemu_arguments(const GuestOptions& options, const fs::path& console,
                                        const fs::path& answers) {
  const std::size_t space = options.init.find(' ');
  // thread=single: with a host thread for each of the guest's processors, QEMU 7.2 may keep what it
  // translated from code that another processor was just writing, and then hits for ever a
  // breakpoint that is long gone, which the kernel reports as a lockup.
  return {"qemu-system-x86_64",
          "-accel",
          "tcg,thread=single",
          "-cpu",
          "max",
          "-smp",
          fmt::format("{}", options.cpus),
          "-m",
          fmt::format("{}", options.memory_mib),
          "-nodefaults",
          "-no-user-config",
          "-display",
          "none",
          "-no-reboot",
          "-serial",
          fmt::format("file:{}", console.string()),
          "-serial",
          fmt::format("file:{}", answers.string()),
          "-kernel",
          options.vmlinuz.string(),
          "-initrd",
          options.initramfs.string(),
          "-append",
          fmt::format("console=ttyS0 quiet panic=-1 no_timer_check {} rdinit={} -- {}",
                      options.arguments, options.init.substr(0, space),
                      space == std::string::npos ? "" : options.init.substr(space + 1))};
}

// Hands over the whole lines of `text`. False once on_line has had enough.
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

// A QEMU that ends at once and talks about itself has refused its arguments or its files.
Status check_qemu(Child& qemu, const GuestEnd& end) {
  Finished finished = TRY(qemu.wait());
  if (finished.exit_status != 0) {
    return fail(Code::guest_failed, "qemu-system-x86_64",
                fmt::format("it ended with status {} after {:.0f} s: {}", finished.exit_status,
                            end.seconds, console_tail(finished.out, 5)),
                "check that the kernel image is whole and that memory is free (--memory)");
  }
  return {};
}

}  // namespace

Result<GuestEnd> run_guest(const GuestOptions& options,
                           const std::function<bool(std::string_view line)>& on_line) {
  TRY(find_program("qemu-system-x86_64", "qemu-system-x86"));
  TempDir scratch = TRY(TempDir::create(temporary_directory(), "suture-guest"));
  const fs::path console_path = scratch.path() / "console";
  const fs::path answers_path = scratch.path() / "answers";
  Pipe console = TRY(Pipe::create(console_path));
  Pipe answers = TRY(Pipe::create(answers_path));
  Child qemu = TRY(Child::start({.argv = qemu_arguments(options, console_path, answers_path)}));
  const double start = now_seconds();
  double last_sign = start;
  GuestEnd end;
  std::string text;
  for (;;) {
    std::array<pollfd, 3> waits{{{console.descriptor(), POLLIN, 0},
                                 {answers.descriptor(), POLLIN, 0},
                                 {qemu.descriptor(), 0, 0}}};
    ::poll(waits.data(), waits.size(), 500);
    const bool gone = (waits[2].revents & POLLHUP) != 0;
    const bool spoke = console.read_into(end.console);
    const bool answered = answers.read_into(text);
    const double now = now_seconds();
    last_sign = spoke || answered ? now : last_sign;
    end.seconds = now - start;
    if (!take_lines(text, on_line)) {
      end.how = GuestEnd::How::told;
      return end;
    }
    if (gone) {
      TRY(check_qemu(qemu, end));
      end.how = GuestEnd::How::died;
      return end;
    }
    if (interrupted()) {
      return fail(Code::interrupted, "guest", "interrupted; the guest is gone",
                  "run the command again");
    }
    if (now - last_sign > options.silence) {
      end.how = GuestEnd::How::silent;
      return end;
    }
    if (end.seconds > options.deadline) {
      end.how = GuestEnd::How::deadline;
      return end;
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
