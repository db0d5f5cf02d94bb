// Who gets in at the port of the pilots, and who does not. Real sockets on the loopback.
#include "runtime/executors/pilot_port.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <fstream>

#include "runtime/driver_link.h"
#include "tests/support/temp_cache.h"

#include <stook/errors.hpp>

namespace stook::detail {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using namespace std::chrono_literals;

class PilotPortTest : public testing::Test {
 protected:
  ~PilotPortTest() override {
    if (port) port->close();
    context.run();
  }
  void open(PilotPort::Limits limits = {}) { port = PilotPort::open(context, "127.0.0.1", limits); }
  PilotPort::Token expect() {
    return port->expect([this](PilotPort::Socket&& socket) { came.push_back(std::move(socket)); });
  }
  tcp::socket connect(const PilotPort::Token& token, std::size_t size = 16) {
    tcp::socket socket(context);
    socket.connect({asio::ip::make_address("127.0.0.1"), port->port()});
    asio::write(socket, asio::buffer(token.data(), size));
    return socket;
  }
  // Until something has come to pass; true: it has.
  template <class Condition> bool until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!condition() && std::chrono::steady_clock::now() < end) context.run_one_for(1s);
    return condition();
  }
  // Has the port hung up? Reading at the other end says so.
  bool shut_out(tcp::socket& socket) {
    bool closed = false;
    char byte = 0;
    socket.async_read_some(asio::buffer(&byte, 1),
                           [&](boost::system::error_code error, std::size_t) {
                             closed = error && error != asio::error::operation_aborted;
                           });
    const bool seen = until([&] { return closed; });
    boost::system::error_code ignored;
    socket.close(ignored);
    context.poll();
    return seen;
  }

  asio::io_context context;
  std::shared_ptr<PilotPort> port;
  std::vector<PilotPort::Socket> came;
};

TEST_F(PilotPortTest, TheTokenLetsInOnce) {
  open();
  const auto token = expect();
  const tcp::socket first = connect(token);
  ASSERT_TRUE(until([&] { return came.size() == 1; }));
  EXPECT_EQ(came[0].remote_endpoint(), first.local_endpoint());
  tcp::socket again = connect(token);
  EXPECT_TRUE(shut_out(again));
  EXPECT_EQ(came.size(), 1U);
}

TEST_F(PilotPortTest, EachTokenIsAnother) {
  open();
  EXPECT_NE(expect(), expect());
}

TEST_F(PilotPortTest, AWrongTokenIsShutOutWhicheverBitIsWrong) {
  open();
  const auto token = expect();
  for (const std::size_t at : {0U, 7U, 15U}) {
    auto wrong = token;
    wrong[at] ^= std::byte{1};
    tcp::socket socket = connect(wrong);
    EXPECT_TRUE(shut_out(socket)) << at;
  }
  EXPECT_TRUE(came.empty());
  const tcp::socket right = connect(token);
  EXPECT_TRUE(until([&] { return came.size() == 1; }));
}

TEST_F(PilotPortTest, AForgottenTokenIsShutOut) {
  open();
  const auto token = expect();
  port->forget(token);
  tcp::socket socket = connect(token);
  EXPECT_TRUE(shut_out(socket));
  EXPECT_TRUE(came.empty());
}

TEST_F(PilotPortTest, WhoDoesNotSayAWholeTokenIsShutOutInTime) {
  open({.token_within = 50ms});
  const auto token = expect();
  tcp::socket silent = connect(token, 0);
  tcp::socket slow = connect(token, 15);
  EXPECT_TRUE(shut_out(silent));
  EXPECT_TRUE(shut_out(slow));
  EXPECT_TRUE(came.empty());
  EXPECT_EQ(port->strangers(), 0U);
}

TEST_F(PilotPortTest, WhoHangsUpIsForgotten) {
  open();
  connect(expect(), 3).close();
  tcp::socket other = connect({});
  EXPECT_TRUE(shut_out(other));
  EXPECT_TRUE(until([&] { return port->strangers() == 0; }));
}

TEST_F(PilotPortTest, StrangersAreBoundedAndDoNotKeepPilotsOut) {
  open({.token_within = 1h, .strangers = 4});
  const auto token = expect();
  std::vector<tcp::socket> crowd;
  for (int i = 0; i < 50; ++i) crowd.push_back(connect(token, 1));
  const tcp::socket pilot = connect(token);
  ASSERT_TRUE(until([&] { return came.size() == 1; }));
  EXPECT_LE(port->strangers(), 4U);
  EXPECT_TRUE(shut_out(crowd.front()));
}

TEST_F(PilotPortTest, AnAddressThatIsNotThisHostsIsRefused) {
  try {
    (void)PilotPort::open(context, "192.0.2.1", {});
    FAIL() << "it listens at an address of nobody's";
  } catch (const ExecutorError& error) {
    EXPECT_NE(std::string(error.what()).find("--slurm-address"), std::string::npos) << error.what();
  }
}

// The pilot's side: what its driver wrote down for it leads it in.
TEST_F(PilotPortTest, APilotFindsItsDriverByTheFile) {
  open();
  const test::TempDirectory directory;
  const auto file = driver_file(directory.path());
  std::ofstream(file) << driver_text({port->address(), port->port(), expect()});
  const auto socket = connect_to_driver(file);
  ASSERT_TRUE(socket) << socket.reason();
  EXPECT_TRUE(until([&] { return came.size() == 1; }));
  port->close();
  std::ofstream(file) << "127.0.0.1 " << port->port() << " 00112233445566778899aabbccddeeff";
  const auto refused = connect_to_driver(file);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.reason().find("127.0.0.1"), std::string::npos) << refused.reason();
  for (const char* text :
       {"", "127.0.0.1", "127.0.0.1 99999999 00", "127.0.0.1 1 zz112233445566778899aabbccddeeff"}) {
    std::ofstream(file, std::ios::trunc) << text;
    EXPECT_FALSE(connect_to_driver(file)) << text;
  }
}

}  // namespace
}  // namespace stook::detail
