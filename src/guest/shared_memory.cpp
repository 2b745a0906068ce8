// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/shared_memory.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>

namespace suture::guest {

namespace {

constexpr std::string_view vendor = "0x1af4";  // Red Hat's, for QEMU
constexpr std::string_view device = "0x1110";  // ivshmem
constexpr const char* memory_file = "resource2";

std::unexpected<Error> cannot_use(std::string reason) {
  return fail(Code::guest_failed, "shared memory", std::move(reason),
              "check that QEMU has the device ivshmem-plain (qemu-system-x86_64 -device help)");
}

std::unexpected<Error> cannot_unpack(archive* handle) {
  const char* text = archive_error_string(handle);
  return fail(Code::guest_failed, "files",
              fmt::format("they cannot be unpacked in the guest: {}", text == nullptr ? "?" : text),
              "give the guest more memory (--memory)");
}

// The guest may be one that was saved long ago, like others before it.
void take_clock(std::int64_t seconds) {
  timeval now{};
  ::gettimeofday(&now, nullptr);
  if (seconds > now.tv_sec) {
    now.tv_sec = seconds;
    ::settimeofday(&now, nullptr);  // an old clock is no reason to end a trial
  }
}

void take_random(const std::array<std::uint8_t, 32>& bytes) {
  // rand_pool_info: bits of entropy, bytes, and these.
  std::array<std::uint32_t, 2 + sizeof(bytes) / 4> pool{8 * sizeof(bytes), sizeof(bytes)};
  std::memcpy(&pool[2], bytes.data(), sizeof(bytes));
  const Descriptor fd(::open("/dev/random", O_RDWR | O_CLOEXEC));
  if (fd.get() >= 0 && ::ioctl(fd.get(), RNDADDENTROPY, pool.data()) == 0) {
    ::ioctl(fd.get(), RNDRESEEDCRNG);
  }
}

}  // namespace

Result<SharedMemory> SharedMemory::open(const fs::path& devices) {
  std::error_code ec;
  for (const fs::directory_entry& entry : fs::directory_iterator(devices, ec)) {
    if (first_line(entry.path() / "vendor") != vendor ||
        first_line(entry.path() / "device") != device) {
      continue;
    }
    std::ignore = write_file(entry.path() / "enable", "1");  // the firmware does so as a rule
    const fs::path path = entry.path() / memory_file;
    const Descriptor fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    struct stat info {};
    if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0) {
      return cannot_use(fmt::format("open {}: {}", path.string(), std::strerror(errno)));
    }
    const auto size = static_cast<std::size_t>(info.st_size);
    void* at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (at == MAP_FAILED || size < archive_offset) {
      return cannot_use(fmt::format("map {}: {}", path.string(), std::strerror(errno)));
    }
    return SharedMemory(static_cast<std::uint8_t*>(at), size);
  }
  return cannot_use("the guest has no such device");
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : bytes_(std::exchange(other.bytes_, nullptr)), size_(other.size_) {}

SharedMemory::~SharedMemory() {
  if (bytes_ != nullptr) {
    ::munmap(bytes_, size_);
  }
}

bool SharedMemory::has_files() const {
  const std::uint64_t mark = *reinterpret_cast<const volatile std::uint64_t*>(bytes_);
  std::atomic_thread_fence(std::memory_order_acquire);
  return mark == handed_over_mark;
}

Status SharedMemory::receive(const fs::path& root) const {
  HandedOver header;
  std::memcpy(&header, bytes_, sizeof(header));
  const ByteView whole(bytes_, size_);
  auto files = slice(whole, archive_offset, header.size);
  if (!files) {
    return cannot_use(fmt::format("{} bytes of files are more than it has", header.size));
  }
  TRY(unpack_files(*files, root));
  take_clock(header.seconds);
  take_random(header.random);
  return {};
}

Status unpack_files(ByteView bytes, const fs::path& root) {
  std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(),
                                                                archive_read_free);
  std::unique_ptr<archive, decltype(&archive_write_free)> disk(archive_write_disk_new(),
                                                               archive_write_free);
  archive_write_disk_set_options(disk.get(), ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_UNLINK);
  if (archive_read_support_format_cpio(reader.get()) != ARCHIVE_OK ||
      archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK) {
    return cannot_unpack(reader.get());
  }
  archive_entry* entry = nullptr;
  int state = 0;
  while ((state = archive_read_next_header(reader.get(), &entry)) == ARCHIVE_OK) {
    archive_entry_set_pathname(entry, (root / archive_entry_pathname(entry)).c_str());
    if (archive_write_header(disk.get(), entry) != ARCHIVE_OK) {
      return cannot_unpack(disk.get());
    }
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    while ((state = archive_read_data_block(reader.get(), &block, &size, &offset)) == ARCHIVE_OK) {
      if (archive_write_data_block(disk.get(), block, size, offset) < 0) {
        return cannot_unpack(disk.get());
      }
    }
    if (state != ARCHIVE_EOF) {
      return cannot_unpack(reader.get());
    }
    if (archive_write_finish_entry(disk.get()) != ARCHIVE_OK) {
      return cannot_unpack(disk.get());
    }
  }
  return state == ARCHIVE_EOF ? Status{} : cannot_unpack(reader.get());
}

}  // namespace suture::guest
