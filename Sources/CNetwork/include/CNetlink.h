// The kernel's own headers (uapi) for netlink: every constant and structure of the protocol that the plugin uses is
// imported from here, under its name, and is what the header named beside it says.

#ifndef CNETLINK_H
#define CNETLINK_H

// Before the kernel's, which then leave out what libc has defined already (linux/libc-compat.h).
#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/if_ether.h>  // ETH_P_ALL
#include <linux/netlink.h>    // NLMSG_*, NLM_F_*, NLMSGERR_ATTR_*, NETLINK_*, sockaddr_nl
#include <linux/rtnetlink.h>  // RTM_*, RTA_*, RTN_*, RTNLGRP_*, TCA_*, rtmsg, tcmsg, ifinfomsg
#include <linux/if_link.h>    // IFLA_*, IN6_ADDR_GEN_MODE_*, rtnl_link_stats64
#include <linux/if_addr.h>    // IFA_*, ifaddrmsg
#include <linux/neighbour.h>  // NDA_*, NTF_*, NUD_*, ndmsg
#include <linux/pkt_sched.h>  // TCA_TBF_*, TC_H_*, TC_LINKLAYER_*, tc_tbf_qopt
#include <linux/pkt_cls.h>    // TCA_U32_*, TCA_ACT_*, TC_ACT_*, tc_u32_sel
#include <linux/tc_act/tc_mirred.h>              // TCA_MIRRED_*, TCA_EGRESS_REDIR, tc_mirred
#include <linux/netfilter.h>                     // NFPROTO_*
#include <linux/netfilter/nfnetlink.h>           // NFNL_*, nfgenmsg
#include <linux/netfilter/nf_tables.h>           // NFT_MSG_*, NFTA_*
#include <linux/netfilter/nfnetlink_conntrack.h> // IPCTNL_MSG_CT_*, CTA_*

#endif
