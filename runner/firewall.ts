import type { PaasConfig } from '../core/config.ts'
import { kernelNames } from '../core/names.ts'
import { parseSubnet } from './address.ts'

/**
 * The whole nft table of this instance, as text for `nft -f -`, which replaces it in one
 * transaction. Apps reach the world but neither each other nor the host, except the router's ports,
 * so that an app may call another by its public URL.
 */
export function firewall(config: PaasConfig): string {
  const { bridge, nftTable } = kernelNames(config)
  const name = `table inet ${nftTable}`
  const routerPorts = [...new Set([config.httpPort, config.httpsPort])]
  return `${name}
delete ${name}
${name} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${parseSubnet(config.subnet).cidr} oifname != "${bridge}" masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${bridge}" oifname "${bridge}" drop
    iifname "${bridge}" ip daddr 169.254.0.0/16 meta l4proto { tcp, udp } th dport 53 accept
    iifname "${bridge}" ip daddr 169.254.0.0/16 drop comment "credentials of the cloud's host"
    iifname "${bridge}" accept
    oifname "${bridge}" ct state established,related accept
    oifname "${bridge}" drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "${bridge}" ct state established,related accept
    iifname "${bridge}" icmp type echo-request accept
    iifname "${bridge}" tcp dport { ${routerPorts.join(', ')} } accept
    iifname "${bridge}" drop
  }
}
`
}

/** Takes the table away; no error when there is none. */
export function noFirewall(config: PaasConfig): string {
  const name = `table inet ${kernelNames(config).nftTable}`
  return `${name}\ndelete ${name}\n`
}
