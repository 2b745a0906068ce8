// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whatever makes the compiled code another than the one that runs must be noticed. One file of the
// newest stock 6.1 kernel is compiled in ways that are wrong in one respect each, and matched
// against that kernel's image.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "base/process.h"
#include "kernel/image.h"
#include "kernel/kernel.h"
#include "match/explain.h"
#include "source/compile.h"

namespace suture {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* file = "net/core/sock.c";

// An object compiled and matched. Not moved: the parts point at one another.
struct Matched {
  elf::ObjectFile object;
  diff::PieceGraph graph;
  match::MatchResult result;

  std::size_t different() const {
    return static_cast<std::size_t>(
        std::ranges::count(result.mismatches, match::Mismatch::Kind::different,
                           [](const auto& pair) { return pair.second.kind; }));
  }
};

class Fault : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    // The newest of the stock kernels of 6.1: others may be in the cache too.
    std::vector<kernel::Kernel> kernels = kernel::list().value().kernels;
    for (kernel::Kernel& candidate : kernels) {
      const std::string& name = candidate.release;
      bool flavour = name.contains("cloud") || name.contains("rt-");
      if (name.starts_with("6.1.") && name.ends_with("-amd64") && !flavour) {
        older_ = std::move(kernel_);
        kernel_ = std::make_unique<kernel::Kernel>(std::move(candidate));
      }
    }
    const auto units = kernel::Units::open(*kernel_, [](std::string_view) {}).value();
    command_ = source::commands_for(units, file).value().at(0);
    image_ = kernel::Image::open(kernel_->vmlinux).value();
    work_ = TempDir::create(kernel_->derived, "fault").value();
  }
  static void TearDownTestSuite() { work_ = TempDir(); }

  // Compiles the file with kbuild's command, changed by `change`, as `suture build` would.
  fs::path compile(const std::function<void(std::vector<std::string>&)>& change,
                   const fs::path& input = file) {
    std::vector<std::string> argv;
    for (std::size_t i = 0; i < command_.compiler.size(); ++i) {
      const std::string& word = command_.compiler[i];
      if (word == "-o") {
        ++i;
      } else if (!word.starts_with("-Wp,-MMD") && word != "-c" && word != command_.source) {
        argv.push_back(word);
      }
    }
    change(argv);
    fs::path output = work_.path() / "fault.o";
    argv.insert(argv.end(), {"-g0", "-ffunction-sections", "-fdata-sections", "-iquote", "net/core",
                             "-c", "-o", output.string(), input.string()});
    run_or_fail(argv);
    std::vector<std::string> objtool = command_.objtool;
    objtool.push_back(output.string());
    run_or_fail(objtool);
    return output;
  }

  static void run_or_fail(const std::vector<std::string>& argv) {
    auto done = run(Command{.argv = argv, .directory = kernel_->source});
    ASSERT_TRUE(done.has_value()) << done.error().reason;
    ASSERT_EQ(done->exit_status, 0) << done->out;
  }

  static void match_with(const fs::path& path, const kernel::Image& image, Matched& out) {
    out.object = elf::ObjectFile::open(path).value();
    out.graph = diff::PieceGraph::build(out.object, *elf::arch_of(EM_X86_64)).value();
    out.result = match::match(out.graph, match::RunObject::of_vmlinux(image));
  }

  static match::Explanation explain_first(const Matched& matched) {
    for (const auto& [piece, mismatch] : matched.result.mismatches) {
      if (mismatch.kind == match::Mismatch::Kind::different) {
        return match::explain(matched.graph, match::RunObject::of_vmlinux(image_), matched.result,
                              mismatch);
      }
    }
    return {};
  }

  static off_t offset_in_file(int fd, std::uint32_t section) {
    Elf64_Ehdr header{};
    Elf64_Shdr entry{};
    EXPECT_EQ(::pread(fd, &header, sizeof(header), 0), ssize_t{sizeof(header)});
    const auto at = static_cast<off_t>(header.e_shoff + section * sizeof(entry));
    EXPECT_EQ(::pread(fd, &entry, sizeof(entry), at), ssize_t{sizeof(entry)});
    return static_cast<off_t>(entry.sh_offset);
  }

  static inline std::unique_ptr<kernel::Kernel> kernel_, older_;
  static inline source::CompileCommand command_;
  static inline kernel::Image image_;
  static inline TempDir work_;
};

TEST_F(Fault, NoneLetsEveryFunctionMatch) {
  Matched matched;
  match_with(compile([](auto&) {}), image_, matched);
  EXPECT_GT(matched.result.of, 100U);
  EXPECT_EQ(matched.result.functions.size(), matched.result.of);
  EXPECT_EQ(matched.different(), 0U);
}

TEST_F(Fault, AnotherCompilerIsNoticed) {
  Matched matched;
  const std::string another = find_program("gcc-11", "gcc-11") ? "gcc-11" : "gcc-13";
  match_with(compile([&](std::vector<std::string>& argv) {
               argv[0] = another;
               // Options that it does not know yet.
               std::erase_if(argv, [](const std::string& word) {
                 return word.starts_with("-ftrivial-auto-var-init") ||
                        word.starts_with("-mharden-sls") || word == "-mindirect-branch-cs-prefix";
               });
             }),
             image_, matched);
  EXPECT_GT(matched.different(), matched.result.of / 2);
  match::Explanation explanation = explain_first(matched);
  EXPECT_EQ(explanation.cause, match::Cause::compiler);
  EXPECT_THAT(explanation.cause_text, HasSubstr(another.substr(4) + "."));
}

TEST_F(Fault, AnotherLevelOfOptimizationIsNoticed) {
  Matched matched;
  match_with(compile([](auto& argv) { argv.push_back("-O1"); }), image_, matched);
  EXPECT_EQ(explain_first(matched).cause, match::Cause::options);
}

TEST_F(Fault, OneOptionOfTheCompilerIsNoticed) {
  Matched matched;
  match_with(compile([](auto& argv) { argv.push_back("-fno-inline-small-functions"); }), image_,
             matched);
  EXPECT_GT(matched.different(), 0U);
}

TEST_F(Fault, OneOptionOfTheConfigurationIsNoticed) {
  fs::path header = work_.path() / "config.h";
  ASSERT_TRUE(write_file(header, std::string_view("#undef CONFIG_NET_RX_BUSY_POLL\n")));
  Matched matched;
  match_with(compile([&](auto& argv) {
               // After kconfig.h, which brings the configuration, and before all others.
               auto kconfig = std::ranges::find(argv, "./include/linux/kconfig.h");
               ASSERT_NE(kconfig, argv.end());
               argv.insert(kconfig + 1, {"-include", header.string()});
             }),
             image_, matched);
  EXPECT_GT(matched.different(), 0U);
}

TEST_F(Fault, OneLineOfTheSourceIsNoticed) {
  std::string text = read_text(kernel_->source / file).value();
  constexpr std::string_view line = "cmsg->cmsg_level != SOL_SOCKET";
  std::size_t at = text.find(line);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, line.size(), "cmsg->cmsg_level == SOL_SOCKET");
  fs::path input = work_.path() / "sock.c";
  ASSERT_TRUE(write_file(input, text));
  Matched matched;
  match_with(compile([](auto&) {}, input), image_, matched);
  EXPECT_GT(matched.different(), 0U);
  match::Explanation explanation = explain_first(matched);
  EXPECT_EQ(explanation.cause, match::Cause::source);
  EXPECT_THAT(explanation.compiled, Not(IsEmpty()));
  EXPECT_NE(explanation.compiled, explanation.running);
}

TEST_F(Fault, TheSourceOfAnotherVersionIsNoticed) {
  if (older_ == nullptr) {
    GTEST_SKIP() << "no second 6.1 kernel is in the cache";
  }
  kernel::Image older = kernel::Image::open(older_->vmlinux).value();
  Matched matched;
  match_with(compile([](auto&) {}), older, matched);
  EXPECT_GT(matched.different(), 0U);
}

// Each bit of some functions in a copy of the image, one at a time. The image is mapped, so what is
// written to its file is seen at once.
TEST_F(Fault, EveryBitOfTheImageCounts) {
  fs::path copy = work_.path() / "vmlinux";
  fs::copy_file(kernel_->vmlinux, copy);
  kernel::Image image = kernel::Image::open(copy).value();
  Matched good;
  match_with(compile([](auto&) {}), image, good);
  int fd = ::open(copy.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  const elf::Section* text = image.elf().section(".text");
  const off_t offset_of_text = offset_in_file(fd, *image.elf().find_section(".text"));
  match::RunObject run = match::RunObject::of_vmlinux(image);
  const elf::Arch& arch = *elf::arch_of(EM_X86_64);
  std::size_t flipped = 0;
  for (const char* name : {"sock_no_linger", "sk_mc_loop", "sock_setsockopt", "sk_stop_timer"}) {
    auto symbols = image.symbols().find(name);
    ASSERT_EQ(symbols.size(), 1U) << name;
    std::uint64_t address = image.symbols().all()[symbols[0]].address;
    auto function = std::ranges::find_if(
        good.result.functions, [&](const auto& pair) { return pair.second.address == address; });
    ASSERT_NE(function, good.result.functions.end()) << name;
    std::uint64_t size = good.graph.piece(function->first).size;
    Bytes bytes(image.at(address, size)->begin(), image.at(address, size)->end());
    for (const elf::Instruction& insn : arch.decode(bytes)) {
      for (std::uint32_t bit = 0; !insn.is_nop && bit < insn.length * 8U; ++bit) {
        std::uint32_t at = insn.offset + bit / 8;
        const auto place = offset_of_text + static_cast<off_t>(address - text->address + at);
        auto wrong = static_cast<std::uint8_t>(bytes[at] ^ (1U << bit % 8));
        ASSERT_EQ(::pwrite(fd, &wrong, 1, place), 1);
        match::MatchResult result = match::match(good.graph, run);
        EXPECT_FALSE(result.functions.contains(function->first))
            << name << "+" << at << " bit " << bit % 8;
        ASSERT_EQ(::pwrite(fd, &bytes[at], 1, place), 1);
        ++flipped;
      }
    }
  }
  EXPECT_GT(flipped, 1000U);
  ::close(fd);
}

}  // namespace
}  // namespace suture
