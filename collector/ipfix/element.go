package ipfix

// Private enterprise numbers (IANA) with a meaning here.
const (
	penIANA    = 0
	penVMware  = 6876
	penCERT    = 6871  // YAF; ids from 0x4000 on are those of the reverse direction
	penNtop    = 35632 // nProbe
	penReverse = 29305 // RFC 5103: the element of the same id, for the reverse direction
	penViptela = 41916
)

// elementID names an information element.
type elementID struct {
	pen uint32
	id  uint16
}

// target says where the value of an element goes, and in which form it comes.
type target uint8

// The targets. Those from toSrc4 on take bytes, the others an unsigned number.
const (
	toNone target = iota
	toSrcPort
	toDstPort
	toProto
	toBytes
	toPackets
	toRevBytes
	toRevPackets
	toTCPFlags
	toRevTCPFlags
	toICMP
	toICMPType
	toICMPCode
	toInIf
	toOutIf
	toVLAN
	toL2Segment
	toTunnelType
	toTunnelKey
	toVRFID
	toFlowDirection
	toBiflowDirection
	toForwardingStatus
	toFirewallEvent
	toEndReason
	toStartSeconds
	toEndSeconds
	toStartMillis
	toEndMillis
	toStartMicros
	toEndMicros
	toStartNanos
	toEndNanos
	toStartDelta
	toEndDelta
	toStartUptime
	toEndUptime
	toDurationMillis
	toDurationMicros
	toSystemInit
	toSamplingRate
	toSamplingPackets
	toSamplingSpace
	toSamplingTime
	toSamplingTimeSpace
	toSamplingSize
	toSamplingPopulation
	toSamplingProbability // the bits of a float32 or float64
	toSampler
	toSelector
	toPostSrcPort
	toPostDstPort
	toFragmentOffset
	toNATEvent
	toFrameSize
	toFrameType
	toSectionOffset
	toOldSectionOffset
	toOriginalDomain
	toSrc4
	toDst4
	toSrc6
	toDst6
	toExporter4
	toExporter6
	toVRFName
	toPostSrc4
	toPostDst4
	toPostSrc6
	toPostDst6
	toFrameSection
	toIPSection
	toMPLSSection
	toPayloadSection
)

// slot is what an element can tell. Of the elements of a template that tell
// the same thing only the one of lowest rank is used.
type slot uint8

const (
	slotNone slot = iota
	slotSrc4
	slotDst4
	slotSrc6
	slotDst6
	slotSrcPort
	slotDstPort
	slotProto
	slotBytes
	slotPackets
	slotRevBytes
	slotRevPackets
	slotInitiatorBytes
	slotResponderBytes
	slotInitiatorPackets
	slotResponderPackets
	slotTCPFlags
	slotRevTCPFlags
	slotFirstTCPFlags
	slotRevFirstTCPFlags
	slotOtherTCPFlags
	slotRevOtherTCPFlags
	slotSideTCPFlags
	slotRevSideTCPFlags
	slotICMP4
	slotICMP6
	slotICMPType4
	slotICMPType6
	slotICMPCode4
	slotICMPCode6
	slotInIf
	slotOutIf
	slotVLAN
	slotDot1qVLAN
	slotPostVLAN
	slotL2Segment
	slotTunnelType
	slotTunnelKey
	slotVRFID
	slotVRFName
	slotFlowDirection
	slotBiflowDirection
	slotForwardingStatus
	slotFirewallEvent
	slotEndReason
	slotStart
	slotEnd
	slotDuration
	slotSystemInit
	slotSamplingRate
	slotSamplingPackets
	slotSamplingSpace
	slotSamplingTime
	slotSamplingTimeSpace
	slotSamplingSize
	slotSamplingPopulation
	slotSamplingProbability
	slotSampler
	slotSelector
	slotFrameSection
	slotIPSection
	slotMPLSSection
	slotPayloadSection
	slotFrameSize
	slotFrameType
	slotSectionOffset
	slotOldSectionOffset
	slotOriginalDomain
	slotExporter4
	slotExporter6
	slotPostSrc4
	slotPostDst4
	slotPostSrc6
	slotPostDst6
	slotPostSrcPort
	slotPostDstPort
	slotFragmentOffset
	slotNATEvent
	numSlots
)

// lengths is the set of lengths in bytes, up to 31, that an element may have.
type lengths uint32

func (l lengths) has(n int) bool { return n < 32 && l&(1<<n) != 0 }

const (
	// number is any integer: reduced-size encoding (RFC 7011, section 6.2)
	// allows every length below the natural one, and exporters also use
	// longer ones than the type has.
	number  lengths = 0x1fe
	four    lengths = 1 << 4
	eight   lengths = 1 << 8
	sixteen lengths = 1 << 16
	seconds         = four | eight
	millis          = 1<<6 | 1<<7 | eight
	float           = four | eight
	anyText lengths = 0xfffffffe // any length, see legal
)

type element struct {
	slot    slot
	rank    uint8
	target  target
	lengths lengths
}

// legal reports whether a value of the element can have n bytes.
func (e element) legal(n int) bool {
	return e.lengths.has(n) || e.lengths == anyText && n >= 32
}

// elements are the information elements that flow records are made of.
var elements = map[elementID]element{
	{penIANA, 8}:  {slotSrc4, 0, toSrc4, four},
	{penIANA, 12}: {slotDst4, 0, toDst4, four},
	{penIANA, 27}: {slotSrc6, 0, toSrc6, sixteen},
	{penIANA, 28}: {slotDst6, 0, toDst6, sixteen},

	{penIANA, 7}:   {slotSrcPort, 0, toSrcPort, number},
	{penIANA, 180}: {slotSrcPort, 1, toSrcPort, number}, // udpSourcePort
	{penIANA, 182}: {slotSrcPort, 1, toSrcPort, number}, // tcpSourcePort
	{penIANA, 11}:  {slotDstPort, 0, toDstPort, number},
	{penIANA, 181}: {slotDstPort, 1, toDstPort, number},
	{penIANA, 183}: {slotDstPort, 1, toDstPort, number},
	{penIANA, 4}:   {slotProto, 0, toProto, number},

	// What NAT made of the ends.
	{penIANA, 225}: {slotPostSrc4, 0, toPostSrc4, four},
	{penIANA, 226}: {slotPostDst4, 0, toPostDst4, four},
	{penIANA, 227}: {slotPostSrcPort, 0, toPostSrcPort, number},
	{penIANA, 228}: {slotPostDstPort, 0, toPostDstPort, number},
	{penIANA, 281}: {slotPostSrc6, 0, toPostSrc6, sixteen},
	{penIANA, 282}: {slotPostDst6, 0, toPostDst6, sixteen},
	{penIANA, 230}: {slotNATEvent, 0, toNATEvent, number},
	{penIANA, 88}:  {slotFragmentOffset, 0, toFragmentOffset, number},

	{penIANA, 1}:   {slotBytes, 0, toBytes, number},
	{penIANA, 85}:  {slotBytes, 1, toBytes, number}, // octetTotalCount
	{penIANA, 352}: {slotBytes, 2, toBytes, number}, // layer2OctetDeltaCount
	{penIANA, 353}: {slotBytes, 3, toBytes, number}, // layer2OctetTotalCount
	{penIANA, 23}:  {slotBytes, 4, toBytes, number}, // postOctetDeltaCount
	{penIANA, 171}: {slotBytes, 5, toBytes, number}, // postOctetTotalCount
	{penIANA, 2}:   {slotPackets, 0, toPackets, number},
	{penIANA, 86}:  {slotPackets, 1, toPackets, number}, // packetTotalCount
	{penIANA, 24}:  {slotPackets, 2, toPackets, number}, // postPacketDeltaCount
	{penIANA, 172}: {slotPackets, 3, toPackets, number}, // postPacketTotalCount

	{penReverse, 1}:   {slotRevBytes, 0, toRevBytes, number},
	{penReverse, 85}:  {slotRevBytes, 1, toRevBytes, number},
	{penReverse, 352}: {slotRevBytes, 2, toRevBytes, number},
	{penReverse, 353}: {slotRevBytes, 3, toRevBytes, number},
	{penReverse, 23}:  {slotRevBytes, 4, toRevBytes, number},
	{penReverse, 171}: {slotRevBytes, 5, toRevBytes, number},
	{penReverse, 2}:   {slotRevPackets, 0, toRevPackets, number},
	{penReverse, 86}:  {slotRevPackets, 1, toRevPackets, number},
	{penReverse, 24}:  {slotRevPackets, 2, toRevPackets, number},
	{penReverse, 172}: {slotRevPackets, 3, toRevPackets, number},

	{penIANA, 231}: {slotInitiatorBytes, 0, toBytes, number},
	{penIANA, 232}: {slotResponderBytes, 0, toRevBytes, number},
	{penIANA, 298}: {slotInitiatorPackets, 0, toPackets, number},
	{penIANA, 299}: {slotResponderPackets, 0, toRevPackets, number},

	{penIANA, 6}:    {slotTCPFlags, 0, toTCPFlags, number},
	{penReverse, 6}: {slotRevTCPFlags, 0, toRevTCPFlags, number},
	// nProbe: the client's and the server's. Its IE 6 is the union of both.
	{penNtop, 78}: {slotSideTCPFlags, 0, toTCPFlags, number},
	{penNtop, 79}: {slotRevSideTCPFlags, 0, toRevTCPFlags, number},
	// YAF: of the first packet, and the union of the others.
	{penCERT, 14}:          {slotFirstTCPFlags, 0, toTCPFlags, number},
	{penCERT, 15}:          {slotOtherTCPFlags, 0, toTCPFlags, number},
	{penCERT, 0x4000 | 14}: {slotRevFirstTCPFlags, 0, toRevTCPFlags, number},
	{penCERT, 0x4000 | 15}: {slotRevOtherTCPFlags, 0, toRevTCPFlags, number},

	{penIANA, 32}:  {slotICMP4, 0, toICMP, number},
	{penIANA, 139}: {slotICMP6, 0, toICMP, number},
	{penIANA, 176}: {slotICMPType4, 0, toICMPType, number},
	{penIANA, 177}: {slotICMPCode4, 0, toICMPCode, number},
	{penIANA, 178}: {slotICMPType6, 0, toICMPType, number},
	{penIANA, 179}: {slotICMPCode6, 0, toICMPCode, number},

	{penIANA, 10}:  {slotInIf, 0, toInIf, number},
	{penIANA, 252}: {slotInIf, 1, toInIf, number}, // ingressPhysicalInterface
	{penIANA, 14}:  {slotOutIf, 0, toOutIf, number},
	{penIANA, 253}: {slotOutIf, 1, toOutIf, number}, // egressPhysicalInterface
	{penIANA, 58}:  {slotVLAN, 0, toVLAN, number},
	{penIANA, 243}: {slotDot1qVLAN, 0, toVLAN, number},
	{penIANA, 59}:  {slotPostVLAN, 0, toVLAN, number},
	{penIANA, 254}: {slotPostVLAN, 1, toVLAN, number}, // postDot1qVlanId
	{penIANA, 351}: {slotL2Segment, 0, toL2Segment, number},
	// Open vSwitch: tunnelType (1 is VXLAN) and tunnelKey.
	{penVMware, 891}: {slotTunnelType, 0, toTunnelType, number},
	{penVMware, 892}: {slotTunnelKey, 0, toTunnelKey, number},

	{penIANA, 234}:     {slotVRFID, 0, toVRFID, number},
	{penViptela, 4321}: {slotVRFID, 1, toVRFID, number}, // VPN id
	{penIANA, 235}:     {slotVRFID, 2, toVRFID, number}, // egressVRFID
	{penIANA, 236}:     {slotVRFName, 0, toVRFName, anyText},

	{penIANA, 61}:  {slotFlowDirection, 0, toFlowDirection, number},
	{penIANA, 239}: {slotBiflowDirection, 0, toBiflowDirection, number},
	{penIANA, 89}:  {slotForwardingStatus, 0, toForwardingStatus, number},
	{penIANA, 233}: {slotFirewallEvent, 0, toFirewallEvent, number},
	{penIANA, 136}: {slotEndReason, 0, toEndReason, number},

	{penIANA, 156}: {slotStart, 0, toStartNanos, eight},
	{penIANA, 154}: {slotStart, 1, toStartMicros, eight},
	{penIANA, 152}: {slotStart, 2, toStartMillis, millis},
	{penIANA, 150}: {slotStart, 3, toStartSeconds, seconds},
	{penIANA, 158}: {slotStart, 4, toStartDelta, number},
	{penIANA, 22}:  {slotStart, 5, toStartUptime, number},
	{penIANA, 157}: {slotEnd, 0, toEndNanos, eight},
	{penIANA, 155}: {slotEnd, 1, toEndMicros, eight},
	{penIANA, 153}: {slotEnd, 2, toEndMillis, millis},
	{penIANA, 151}: {slotEnd, 3, toEndSeconds, seconds},
	{penIANA, 159}: {slotEnd, 4, toEndDelta, number},
	{penIANA, 21}:  {slotEnd, 5, toEndUptime, number},
	// observationTime and collectionTime stand for the end; the start
	// follows from the duration, or is the same.
	{penIANA, 325}: {slotEnd, 6, toEndNanos, eight},
	{penIANA, 324}: {slotEnd, 7, toEndMicros, eight},
	{penIANA, 323}: {slotEnd, 8, toEndMillis, millis},
	{penIANA, 322}: {slotEnd, 9, toEndSeconds, seconds},
	{penIANA, 258}: {slotEnd, 10, toEndMillis, millis},
	{penIANA, 162}: {slotDuration, 0, toDurationMicros, number},
	{penIANA, 161}: {slotDuration, 1, toDurationMillis, number},
	{penIANA, 160}: {slotSystemInit, 0, toSystemInit, millis},

	{penIANA, 34}:  {slotSamplingRate, 0, toSamplingRate, number}, // samplingInterval
	{penIANA, 50}:  {slotSamplingRate, 1, toSamplingRate, number}, // samplerRandomInterval
	{penIANA, 305}: {slotSamplingPackets, 0, toSamplingPackets, number},
	{penIANA, 306}: {slotSamplingSpace, 0, toSamplingSpace, number},
	{penIANA, 307}: {slotSamplingTime, 0, toSamplingTime, number},
	{penIANA, 308}: {slotSamplingTimeSpace, 0, toSamplingTimeSpace, number},
	{penIANA, 309}: {slotSamplingSize, 0, toSamplingSize, number},
	{penIANA, 310}: {slotSamplingPopulation, 0, toSamplingPopulation, number},
	{penIANA, 311}: {slotSamplingProbability, 0, toSamplingProbability, float},
	{penIANA, 48}:  {slotSampler, 0, toSampler, number},
	{penIANA, 302}: {slotSelector, 0, toSelector, number},

	// Of a record that a mediator passes on, the first exporter of all: RFC
	// 6183 names it original.
	{penIANA, 403}: {slotExporter4, 0, toExporter4, four},
	{penIANA, 404}: {slotExporter6, 0, toExporter6, sixteen},
	{penIANA, 405}: {slotOriginalDomain, 0, toOriginalDomain, number},
	{penIANA, 130}: {slotExporter4, 1, toExporter4, four},
	{penIANA, 131}: {slotExporter6, 1, toExporter6, sixteen},

	// Beginnings of packets (RFC 5477). A stack of MPLS labels alone (316)
	// tells nothing of a session.
	{penIANA, 313}: {slotIPSection, 0, toIPSection, anyText},
	{penIANA, 314}: {slotPayloadSection, 0, toPayloadSection, anyText}, // the section begins with the transport header
	{penIANA, 315}: {slotFrameSection, 0, toFrameSection, anyText},
	{penIANA, 104}: {slotFrameSection, 1, toFrameSection, anyText}, // layer2packetSectionData, its older name
	{penIANA, 317}: {slotMPLSSection, 0, toMPLSSection, anyText},   // behind the labels
	{penIANA, 312}: {slotFrameSize, 0, toFrameSize, number},
	{penIANA, 103}: {slotFrameSize, 1, toFrameSize, number},
	{penIANA, 408}: {slotFrameType, 0, toFrameType, number},
	{penIANA, 409}: {slotSectionOffset, 0, toSectionOffset, number},
	{penIANA, 102}: {slotOldSectionOffset, 0, toOldSectionOffset, number},
}
