// Judges packets in user space, the way filters did before the kernel could: a contestant of the benchmark.
//   queue-verdict QUEUE PORT     lets everything pass, and marks what goes to PORT, which rules then refuse
// Says "ready" when it is bound to its queue. Built by scripts/bench, because it needs libnetfilter-queue-dev.
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned refused_port;

// The destination port of TCP or UDP over IPv4; 0 if it has none.
static unsigned destination(const unsigned char *packet, int length) {
  const struct iphdr *ip = (const void *)packet;
  if (length < (int)sizeof *ip || ip->version != 4) return 0;
  if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP) return 0;
  int head = ip->ihl * 4;
  return length < head + 4 ? 0 : (unsigned)packet[head + 2] << 8 | packet[head + 3];
}

static int judge(struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *data, void *context) {
  (void)message, (void)context;
  struct nfqnl_msg_packet_hdr *header = nfq_get_msg_packet_hdr(data);
  if (!header) return 0;
  unsigned char *packet;
  int length = nfq_get_payload(data, &packet);
  uint32_t id = ntohl(header->packet_id);
  if (length > 0 && destination(packet, length) == refused_port)
    return nfq_set_verdict2(queue, id, NF_ACCEPT, 1, 0, NULL);
  return nfq_set_verdict(queue, id, NF_ACCEPT, 0, NULL);
}

static int failed(const char *what) {
  fprintf(stderr, "queue-verdict: %s: %s; root and a kernel with nfnetlink_queue are needed\n", what, strerror(errno));
  return 1;
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: queue-verdict QUEUE PORT\n");
    return 2;
  }
  refused_port = (unsigned)atoi(arguments[2]);
  struct nfq_handle *handle = nfq_open();
  if (!handle) return failed("open nfnetlink_queue");
  struct nfq_q_handle *queue = nfq_create_queue(handle, (uint16_t)atoi(arguments[1]), judge, NULL);
  if (!queue) return failed("bind to the queue");
  // Headers are enough.
  if (nfq_set_mode(queue, NFQNL_COPY_PACKET, 128) < 0) return failed("ask for packets");
  if (write(1, "ready\n", 6) != 6) return failed("say that it is ready");
  char buffer[8192] __attribute__((aligned(8)));
  for (;;) {
    ssize_t length = recv(nfq_fd(handle), buffer, sizeof buffer, 0);
    if (length >= 0) nfq_handle_packet(handle, buffer, (int)length);
    // ENOBUFS: packets came faster than they were judged, and the kernel dropped some.
    else if (errno != EINTR && errno != ENOBUFS) return failed("receive packets");
  }
}
