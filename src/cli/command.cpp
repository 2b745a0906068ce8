// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace suture::cli {

namespace {

bool colours(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  return ::isatty(fd) != 0 && (no_color == nullptr || *no_color == '\0');
}

// Refused, not failed: the diff or module is not to be had, whatever one tries.
bool is_refusal(Code code) { return exit_code(code) == exit_code(Code::no_change); }

Json with_schema(const Json& body) {
  Json out;
  out["schema"] = 1;
  out.update(body);
  return out;
}

void print_json(const Json& body) {
  std::string text = with_schema(body).dump(2, ' ', false, Json::error_handler_t::replace);
  std::fprintf(stdout, "%s\n", text.c_str());
}

}  // namespace

void Commands::on_run(CLI::App* command, std::function<Result<Report>()> body) {
  for (CLI::Option* option : command->get_options()) {
    if (!option->get_positional()) {
      option->allow_extra_args(false);
    }
  }
  command->add_flag("--json", json_, "Print one JSON object on standard output");
  command->callback([this, body = std::move(body)] { finish(body()); });
}

void Commands::finish(Result<Report> result) {
  if (!result) {
    const Error& error = result.error();
    std::fputs(error_text(error, STDERR_FILENO).c_str(), stderr);
    if (json_) {
      Json body;
      if (is_refusal(error.code)) {
        body["refusals"] = Json::array({error_json(error)});
      } else {
        body["error"] = error_json(error);
      }
      print_json(body);
    }
    exit_status_ = exit_code(error.code);
    return;
  }
  if (json_ && !result->streamed) {
    print_json(result->json);
  }
  std::fputs(result->text.c_str(), json_ ? stderr : stdout);
  exit_status_ = result->exit_status;
}

kernel::Progress progress() {
  bool terminal = ::isatty(STDERR_FILENO) != 0;
  return [terminal](std::string_view line) {
    if (terminal) {
      std::fprintf(stderr, "\r\033[K%s", std::string(line.substr(0, 99)).c_str());
      // An empty line ends the progress: what follows starts on a clean one.
      if (line.empty()) {
        std::fputs("\r\033[K", stderr);
      }
    } else if (!line.empty()) {
      std::fprintf(stderr, "%s\n", std::string(line).c_str());
    }
    std::fflush(stderr);
  };
}

std::string paint(std::string_view text, Tone tone, int fd) {
  if (tone == Tone::plain || !colours(fd)) {
    return std::string(text);
  }
  const char* start = tone == Tone::good     ? "\033[32m"
                      : tone == Tone::bad    ? "\033[31m"
                      : tone == Tone::strong ? "\033[1m"
                                             : "\033[2m";
  return fmt::format("{}{}\033[0m", start, text);
}

std::string error_text(const Error& error, int fd) {
  const std::string what =
      fmt::format("{}[{}]:", is_refusal(error.code) ? "refused" : "error", code_name(error.code));
  return fmt::format("{} {}{}{}\n{}", paint(what, Tone::bad, fd), error.where,
                     error.where.empty() ? "" : ": ", error.reason, next_text(error.remedy, fd));
}

std::string next_text(std::string_view remedy, int fd) {
  return remedy.empty() ? "" : fmt::format("{} {}\n", paint("next:", Tone::strong, fd), remedy);
}

Json error_json(const Error& error) {
  return {{"code", code_name(error.code)},
          {"where", error.where},
          {"reason", error.reason},
          {"remedy", error.remedy}};
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i + 1 == row.size() ? row[i] : fmt::format("{:<{}}  ", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

void add_model(CLI::App* command, std::string& model, const std::string& text) {
  command->add_option("--model", model, text)->check(CLI::IsMember({"stop", "lazy", "hybrid"}));
}

void KernelChoice::add_options(CLI::App* command) {
  command->add_option("-k,--kernel", release,
                      "Release of a cached kernel (default: the newest cached 6.1 amd64)");
  command->add_option("--vmlinuz", files.vmlinuz, "Any other kernel: its bootable image");
  command->add_option("--config", files.config, "... its configuration");
  command->add_option("--symvers", files.symvers, "... its Module.symvers");
  command->add_option("--source", files.source, "... its source tree");
  command->add_option("--modules", files.modules,
                      "... its modules, a directory like /lib/modules/REL");
}

Result<kernel::Kernel> KernelChoice::find() const {
  const bool any_file = !files.vmlinuz.empty() || !files.config.empty() || !files.symvers.empty() ||
                        !files.source.empty() || !files.modules.empty();
  if (!any_file) {
    return kernel::find(release);
  }
  if (!release.empty()) {
    return fail(Code::usage, "--kernel", "a kernel is named, and one is given by its files",
                "give either -k or the files");
  }
  if (files.vmlinuz.empty() || files.config.empty() || files.symvers.empty() ||
      files.source.empty()) {
    return fail(Code::usage, "--vmlinuz", "a kernel given by its files needs all of them",
                "give --vmlinuz, --config, --symvers and --source together");
  }
  return kernel::from_files(files);
}

}  // namespace suture::cli
