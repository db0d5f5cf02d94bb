// A pilot's link over TCP: where to connect, and the token that lets it in, are in a file of its
// directory that only this user can read.
#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/write.hpp>

#include "runtime/driver_link.h"
#include "runtime/executors/pilot_link.h"
#include "runtime/executors/pilot_port.h"
#include "src/os.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using boost::system::error_code;

class PilotTcp final : public PilotLink, public std::enable_shared_from_this<PilotTcp> {
 public:
  PilotTcp(asio::io_context& context, std::shared_ptr<PilotPort> port)
      : port_(std::move(port)), socket_(context) {}

  void open(const fs::path& directory, Heard heard, Broken broken) override {
    heard_ = std::move(heard);
    broken_ = std::move(broken);
    token_ = port_->expect([self = shared_from_this()](PilotPort::Socket&& socket) {
      self->connected(std::move(socket));
    });
    const std::string text = driver_text({port_->address(), port_->port(), token_});
    const Fd file = os_open(driver_file(directory), O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (!file || !os_write(file.get(), text.data(), text.size())) {
      throw ExecutorError("cannot write into " + directory.string());
    }
  }

  void write(const std::vector<std::byte>& bytes) override {
    if (closed_) return;
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    send();
  }

  void hear_rest() override {
    error_code error;
    while (socket_.is_open() && !closed_) {
      const std::size_t size = socket_.read_some(asio::buffer(in_), error);
      if (error) return;
      heard_(std::span(in_).first(size));
    }
  }

  // What is still to be sent goes if it goes at once: a pilot that is cut off ends by itself.
  void close() override {
    if (std::exchange(closed_, true)) return;
    port_->forget(token_);
    if (!socket_.is_open()) return;
    error_code ignored;
    if (!sending_now_ && !out_.empty()) socket_.write_some(asio::buffer(out_), ignored);
    socket_.close(ignored);
  }

  [[nodiscard]] std::string hint() const override {
    return "pilots have to reach " + port_->address() + ", port " + std::to_string(port_->port()) +
           ", of this host; --slurm-address says another";
  }

 private:
  void connected(PilotPort::Socket&& socket) {
    socket_ = std::move(socket);
    error_code ignored;
    socket_.non_blocking(true, ignored);
    set_for_pilots(socket_.native_handle());
    read();
    send();
  }

  void send() {
    if (sending_now_ || out_.empty() || !socket_.is_open()) return;
    sending_now_ = true;
    sending_.swap(out_);
    asio::async_write(socket_, asio::buffer(sending_),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        self->sending_now_ = false;
                        self->sending_.clear();
                        if (!error && !self->closed_) self->send();  // read() hears of an error
                      });
  }

  void read() {
    socket_.async_read_some(asio::buffer(in_),
                            [self = shared_from_this()](error_code error, std::size_t size) {
                              if (self->closed_) return;
                              if (size > 0) self->heard_(std::span(self->in_).first(size));
                              if (self->closed_) return;
                              if (!error) self->read();
                              else self->broken_();
                            });
  }

  const std::shared_ptr<PilotPort> port_;
  PilotPort::Socket socket_;
  PilotPort::Token token_{};
  Heard heard_;
  Broken broken_;
  std::vector<std::byte> in_ = std::vector<std::byte>(64 << 10);
  std::vector<std::byte> out_;
  std::vector<std::byte> sending_;
  bool sending_now_ = false;
  bool closed_ = false;
};

}  // namespace

PilotLinks tcp_links(asio::io_context& context, std::shared_ptr<PilotPort> port) {
  return [&context, port = std::move(port)] { return std::make_shared<PilotTcp>(context, port); };
}

}  // namespace stook::detail
